//! The functions of SQL: DataFusion's, but for those that make much of little.
//!
//! What a function gives is not taken from the memory of its statement before it is there. So those whose result has
//! whatever size the caller names are left out, and those that put a text in many places of another one first have
//! to say how much that may be.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// What repeats its input as often as it is told.
const LEFT_OUT: [&str; 7] = [
    "array_repeat",
    "array_resize",
    "generate_series",
    "lpad",
    "range",
    "repeat",
    "rpad",
];

/// What puts its last text wherever its first one has room for it.
const MULTIPLYING: [&str; 3] = ["array_to_string", "regexp_replace", "replace"];

/// What a call of one of [`MULTIPLYING`] may give for one batch, in bytes.
const CALL_BYTES_MAX: usize = 256 << 20;

/// All functions of single values.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let all = SessionStateDefaults::default_scalar_functions().into_iter();
    let kept = all.filter(|function| !LEFT_OUT.contains(&function.name()));
    let bounded = kept.map(|function| {
        if MULTIPLYING.contains(&function.name()) {
            Arc::new(ScalarUDF::new_from_impl(Bounded(function)))
        } else {
            function
        }
    });
    bounded.collect()
}

/// A function that does not begin what may become too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded(Arc<ScalarUDF>);

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        self.0.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        self.0.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.0.coerce_types(arguments)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let n_bytes = bytes_at_most(&call)?;
        if n_bytes > CALL_BYTES_MAX {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} may give {n_bytes} bytes for one batch; {CALL_BYTES_MAX} are the limit",
                self.name()
            )));
        }
        self.0.invoke_with_args(call)
    }
}

/// More bytes than a call can give: the longest text that is put in, behind each byte of what it is put into.
fn bytes_at_most(call: &ScalarFunctionArgs) -> DataFusionResult<usize> {
    let Some((into, others)) = call.args.split_first() else {
        return Ok(0);
    };
    let (n_bytes, n_rows) = match into {
        ColumnarValue::Array(array) => (text_bytes(array), array.len()),
        ColumnarValue::Scalar(value) => {
            let n_bytes = text_bytes(&value.to_array()?);
            (n_bytes.saturating_mul(call.number_rows), call.number_rows)
        }
    };
    let mut longest = 1;
    for other in others {
        longest = longest.max(match other {
            ColumnarValue::Array(array) => longest_text(array),
            ColumnarValue::Scalar(value) => text_bytes(&value.to_array()?),
        });
    }
    Ok(n_bytes.saturating_add(n_rows).saturating_mul(longest + 1))
}

/// Lengths of texts; those of lists count their separators.
fn lengths(array: &ArrayRef) -> Box<dyn Iterator<Item = usize> + '_> {
    match array.data_type() {
        DataType::Utf8 => Box::new(
            array
                .as_string::<i32>()
                .iter()
                .map(|text| text.map_or(0, str::len)),
        ),
        DataType::LargeUtf8 => Box::new(
            array
                .as_string::<i64>()
                .iter()
                .map(|text| text.map_or(0, str::len)),
        ),
        DataType::Utf8View => Box::new(array.as_string_view().iter().map(|text| text.map_or(0, str::len))),
        // Numbers, flags and lists of something: what they are in memory, and more than they have digits.
        _ => Box::new(std::iter::once(array.get_array_memory_size().saturating_mul(4))),
    }
}

fn text_bytes(array: &ArrayRef) -> usize {
    lengths(array).fold(0, usize::saturating_add)
}

fn longest_text(array: &ArrayRef) -> usize {
    lengths(array).max().unwrap_or(0)
}
