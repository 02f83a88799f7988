// Package check holds the Helm chart against Helm's own renderer and linter, and
// what it renders against Kubernetes' own types. It is a module of its own, run by
// `make check-helm`, so that neither comes near the product's dependencies.
package check
