//! Columns of tables, and those of them that belong to a series rather than to a sample.
//!
//! A series column is loaded once per scan, for all series of the selection: label columns as codes, ids as hashes.
//! Batches take from it only the values of the series they hold, so a batch owns no more text than it shows.

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use model::{LabelColumn, METRIC_NAME};
use storage::Selection;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::QueryError;

/// What one column of a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableColumn {
    /// When the sample was taken.
    Timestamp,
    /// Its value.
    Value,
    /// Something of its series.
    Series(SeriesColumn),
}

/// What one column says of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeriesColumn {
    /// A text that stands for the label set.
    Id,
    /// The value of one label; empty when the series lacks it.
    Label(Arc<str>),
    /// All labels but the metric name.
    Labels,
}

/// Time in SQL: milliseconds, UTC.
pub(crate) const TIME_ZONE: &str = "+00:00";

/// What the parts of a map are called: entries, keys, values. DataFusion's functions on maps insist on these.
const MAP_NAMES: [&str; 3] = ["entries", "key", "value"];

impl TableColumn {
    /// The metric's name.
    pub(crate) fn metric() -> Self {
        Self::Series(SeriesColumn::Label(METRIC_NAME.into()))
    }

    /// The column in a schema.
    pub(crate) fn field(&self, name: &str) -> Field {
        match self {
            Self::Timestamp => {
                let data_type = DataType::Timestamp(TimeUnit::Millisecond, Some(TIME_ZONE.into()));
                Field::new(name, data_type, false)
            }
            Self::Value => Field::new(name, DataType::Float64, true),
            Self::Series(column) => Field::new(name, column.data_type(), false),
        }
    }

    /// The series column it is, if it is one.
    pub(crate) fn of_series(&self) -> Option<&SeriesColumn> {
        match self {
            Self::Series(column) => Some(column),
            Self::Timestamp | Self::Value => None,
        }
    }
}

impl SeriesColumn {
    fn data_type(&self) -> DataType {
        match self {
            Self::Id | Self::Label(_) => DataType::Utf8View,
            Self::Labels => {
                let entry = Fields::from(vec![
                    Field::new(MAP_NAMES[1], DataType::Utf8, false),
                    Field::new(MAP_NAMES[2], DataType::Utf8, true),
                ]);
                let entries = Field::new(MAP_NAMES[0], DataType::Struct(entry), false);
                DataType::Map(Arc::new(entries), false)
            }
        }
    }
}

/// Series columns of a whole selection.
#[derive(Debug)]
pub(crate) struct LoadedColumns(Vec<Loaded>);

#[derive(Debug)]
enum Loaded {
    Ids(Vec<u64>),
    Label(LabelColumn),
    Labels(Vec<(Arc<str>, LabelColumn)>),
}

impl LoadedColumns {
    /// These columns of all series of a selection.
    pub(crate) fn load(selection: &dyn Selection, columns: &[SeriesColumn]) -> Self {
        let load = |column: &SeriesColumn| match column {
            SeriesColumn::Id => Loaded::Ids(series_ids(selection)),
            SeriesColumn::Label(name) => Loaded::Label(selection.label_column(name)),
            SeriesColumn::Labels => {
                let names = selection.label_names().into_iter();
                let labels = names.filter(|name| &**name != METRIC_NAME);
                Loaded::Labels(
                    labels
                        .map(|name| (Arc::clone(&name), selection.label_column(&name)))
                        .collect(),
                )
            }
        };
        Self(columns.iter().map(load).collect())
    }

    /// What they hold, roughly, for a selection of `n_series`.
    pub(crate) fn bytes(columns: &[SeriesColumn], selection: &dyn Selection) -> usize {
        let per_series = |column: &SeriesColumn| match column {
            SeriesColumn::Id => size_of::<u64>(),
            SeriesColumn::Label(_) => size_of::<u32>(),
            SeriesColumn::Labels => size_of::<u32>() * selection.label_names().len(),
        };
        columns.iter().map(per_series).sum::<usize>() * selection.n_series()
    }

    /// One column with a row for each of these series.
    ///
    /// # Errors
    /// A label that arrow cannot hold.
    pub(crate) fn array(&self, column: usize, series: &[u32]) -> Result<ArrayRef, QueryError> {
        Ok(match &self.0[column] {
            Loaded::Ids(ids) => {
                let mut builder = StringViewBuilder::with_capacity(series.len());
                for &series_idx in series {
                    builder.append_value(format!("{:016x}", ids[series_idx as usize]));
                }
                Arc::new(builder.finish())
            }
            Loaded::Label(label) => {
                let mut builder = StringViewBuilder::with_capacity(series.len());
                for &series_idx in series {
                    builder.append_value(label.value(series_idx as usize));
                }
                Arc::new(builder.finish())
            }
            Loaded::Labels(labels) => label_maps(labels, series)?,
        })
    }

    /// The columns of `schema`, which begin with the one at `first`, with a row for each of these series.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(crate) fn batch(
        &self,
        first: usize,
        schema: &SchemaRef,
        series: &[u32],
    ) -> Result<RecordBatch, QueryError> {
        let n_columns = schema.fields().len();
        let columns: Result<Vec<_>, _> = (first..first + n_columns)
            .map(|idx| self.array(idx, series))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(series.len()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options).map_err(broken)
    }
}

fn label_maps(labels: &[(Arc<str>, LabelColumn)], series: &[u32]) -> Result<ArrayRef, QueryError> {
    let [entry, key, value] = MAP_NAMES.map(str::to_owned);
    let names = MapFieldNames { entry, key, value };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for &series_idx in series {
        for (name, column) in labels {
            let value = column.value(series_idx as usize);
            if !value.is_empty() {
                builder.keys().append_value(name);
                builder.values().append_value(value);
            }
        }
        builder.append(true).map_err(broken)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// A batch that does not fit its schema: ours to answer for.
pub(crate) fn broken(error: impl std::fmt::Display) -> QueryError {
    QueryError::internal(error.to_string())
}

/// A schema of these series columns, named by position.
pub(crate) fn positional_schema(columns: &[SeriesColumn]) -> SchemaRef {
    let fields = columns
        .iter()
        .enumerate()
        .map(|(position, column)| Field::new(position.to_string(), column.data_type(), false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A number for each series that follows from its labels alone, so that it is the same in every query, after every
/// restart and on every machine.
///
/// 64 bits: among ten million series two share one with a chance of 3 in a million.
fn series_ids(selection: &dyn Selection) -> Vec<u64> {
    let mut ids = vec![0; selection.n_series()];
    for name in selection.label_names() {
        let column = selection.label_column(&name);
        let name_hash = xxh3_64_with_seed(name.as_bytes(), 0);
        let mut hashes: Vec<Option<u64>> = vec![None; column.values.len()];
        for (id, &code) in ids.iter_mut().zip(&column.codes) {
            if code == 0 {
                continue;
            }
            let code = code as usize;
            let hash = *hashes[code]
                .get_or_insert_with(|| xxh3_64_with_seed(column.values[code].as_bytes(), name_hash));
            *id = mix(*id ^ hash);
        }
    }
    ids
}

/// Spreads a number over all bits, one to one (the finish of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
