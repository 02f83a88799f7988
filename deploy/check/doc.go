// Package check holds compose.yaml against Compose's own loader and the Dockerfile
// against BuildKit's parser and linter. It is a module of its own, run by
// `make check-deploy`, so that neither comes near the product's dependencies.
package check
