//! PromQL: lexer, parser with spans, types, and the kernels of its functions.
#![forbid(unsafe_code)]

pub mod annotation;
pub mod ast;
pub mod function;
pub mod kernel;
