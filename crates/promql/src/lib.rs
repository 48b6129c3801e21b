//! PromQL: lexer, parser with spans, types, and the kernels of its functions.
//!
//! Read in this order: [`ast`] is the tree, [`function`] the table of functions, `lexer` and [`parser`] make the
//! tree of a text, `typecheck` refuses what cannot be evaluated, `printer` writes a tree as text again.
#![forbid(unsafe_code)]

pub mod ast;
mod duration;
mod error;
pub mod function;
mod lexer;
mod number;
mod options;
pub mod parser;
mod printer;
mod string_literal;
mod token;
mod typecheck;

pub use duration::{DurationError, QueryTiming};
pub use error::{Location, ParseError};
pub use options::ParseOptions;
pub use parser::{parse, parse_selector};
