//! PromQL: lexer, parser with spans, types, and the kernels of its functions.
//!
//! Read in this order: [`ast`] is the tree, [`function`] the table of functions, `lexer` and [`parser`] make the
//! tree of a text, `typecheck` refuses what cannot be evaluated, `printer` writes a tree as text again and `pretty` lays it out.
//! Beside it stand [`kernel`], the arithmetic of the evaluation, and [`annotation`], what a query says about its result.
#![forbid(unsafe_code)]

pub mod annotation;
pub mod ast;
mod duration;
mod error;
pub mod function;
pub mod kernel;
mod lexer;
mod number;
mod options;
pub mod parser;
mod pretty;
mod printer;
pub mod script;
mod string_literal;
mod token;
mod typecheck;

pub use duration::{DurationError, QueryTiming};
pub use error::{Location, ParseError};
pub use options::ParseOptions;
pub use parser::{parse, parse_selector};
pub use pretty::pretty;
pub use printer::{is_duration_text, label_set};
pub use string_literal::quoted_if_no_utf8;
