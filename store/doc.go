// Package store keeps the timeline in ClickHouse: it writes the frames of a
// collector's log, once in effect, and answers what readers ask in the words of
// package readmodel.
//
// It holds no truth of its own and does not run ClickHouse: a server is given by
// its HTTP address, or store/embedded runs the engine. The folds are those of
// package timeline; SQL only narrows down what has to be folded.
package store
