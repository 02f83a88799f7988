// Package deploy holds no code: what stands beside it is how Tasktrail is
// installed (images, compose, systemd, a chart, the pinned engine library). Its
// tests hold those files against the program they start.
package deploy
