//! What the parser accepts beyond stable PromQL.

/// Which parts of the language that Prometheus keeps behind feature flags are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations marked experimental (`--enable-feature=promql-experimental-functions`).
    pub experimental_functions: bool,
    /// `fill`, `fill_left`, `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_ranges: bool,
    /// Arithmetic in durations, `[5m * 2]`. On by default since Prometheus 3.14.
    pub duration_expressions: bool,
}

impl ParseOptions {
    /// Everything on, as in the engine that runs Prometheus' own test scripts.
    pub const ALL: Self = Self {
        experimental_functions: true,
        fill_modifiers: true,
        extended_ranges: true,
        duration_expressions: true,
    };
}

/// What a Prometheus 3.14 without feature flags accepts.
impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            experimental_functions: false,
            fill_modifiers: false,
            extended_ranges: false,
            duration_expressions: true,
        }
    }
}
