//! Istio's names: the synthetic mesh.
#![forbid(unsafe_code)]
