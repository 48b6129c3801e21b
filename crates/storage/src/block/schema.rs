//! The columns of the files of a block.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use super::page::RowKind;

/// Who wrote the files, as they say themselves.
pub(super) const CREATED_BY: &str = concat!("meshtide ", env!("CARGO_PKG_VERSION"));

/// Key of the metadata of `samples.parquet` and `histograms.parquet` that held the CRC-32C of every page with its
/// header before version 4.
pub(super) const PAGE_CHECKSUMS: &str = "meshtide.page_crc32c";

/// The columns of `samples.parquet`, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleColumn {
    SeriesId,
    Timestamp,
    ValueInt,
    ValueFloat,
    StartTimestamp,
}

impl SampleColumn {
    pub(super) const ALL: [Self; 5] = [
        Self::SeriesId,
        Self::Timestamp,
        Self::ValueInt,
        Self::ValueFloat,
        Self::StartTimestamp,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeriesId => "series_id",
            Self::Timestamp => "timestamp",
            Self::ValueInt => "value_int",
            Self::ValueFloat => "value_float",
            Self::StartTimestamp => "start_timestamp",
        }
    }

    pub(super) fn row_kind(self) -> RowKind {
        match self {
            Self::SeriesId | Self::Timestamp => RowKind::Required,
            Self::ValueInt | Self::ValueFloat | Self::StartTimestamp => RowKind::Optional,
        }
    }

    fn field(self) -> Result<TypePtr, ParquetError> {
        let physical = match self {
            Self::SeriesId => PhysicalType::INT32,
            Self::ValueFloat => PhysicalType::DOUBLE,
            Self::Timestamp | Self::ValueInt | Self::StartTimestamp => PhysicalType::INT64,
        };
        let repetition = match self.row_kind() {
            RowKind::Optional => Repetition::OPTIONAL,
            RowKind::Required | RowKind::List => Repetition::REQUIRED,
        };
        let logical = matches!(self, Self::Timestamp | Self::StartTimestamp).then(timestamp);
        let field = Type::primitive_type_builder(self.name(), physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        Ok(Arc::new(field.build()?))
    }
}

/// The schema of `samples.parquet`.
pub(super) fn samples() -> Result<TypePtr, ParquetError> {
    let fields: Result<Vec<TypePtr>, ParquetError> =
        SampleColumn::ALL.into_iter().map(SampleColumn::field).collect();
    Ok(Arc::new(
        Type::group_type_builder("samples").with_fields(fields?).build()?,
    ))
}

fn timestamp() -> LogicalType {
    LogicalType::timestamp(true, TimeUnit::MILLIS)
}

/// The columns of `histograms.parquet`, of a row per run, of all versions of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistogramColumn {
    SeriesId,
    Schema,
    ZeroThreshold,
    CustomBounds,
    PositiveOffset,
    PositiveLength,
    NegativeOffset,
    NegativeLength,
    Timestamps,
    StartTimestamps,
    CounterResetHints,
    Sums,
    CountDeltas,
    CountsFloat,
    SumScale,
    SumSteps,
    SumCorrections,
    CountGaps,
    CountChanges,
}

/// What stands between two columns of lists that share their rows' lengths: one list of pairs.
const SPAN_COLUMNS: [(&str, HistogramColumn, HistogramColumn); 2] = [
    (
        "positive_spans",
        HistogramColumn::PositiveOffset,
        HistogramColumn::PositiveLength,
    ),
    (
        "negative_spans",
        HistogramColumn::NegativeOffset,
        HistogramColumn::NegativeLength,
    ),
];

impl HistogramColumn {
    /// How many there are.
    pub(super) const N_ALL: usize = Self::CountChanges as usize + 1;

    /// Those that are written, in their order.
    pub(super) const NOW: [Self; 18] = [
        Self::SeriesId,
        Self::Schema,
        Self::ZeroThreshold,
        Self::CustomBounds,
        Self::PositiveOffset,
        Self::PositiveLength,
        Self::NegativeOffset,
        Self::NegativeLength,
        Self::Timestamps,
        Self::StartTimestamps,
        Self::CounterResetHints,
        Self::Sums,
        Self::SumScale,
        Self::SumSteps,
        Self::SumCorrections,
        Self::CountGaps,
        Self::CountChanges,
        Self::CountsFloat,
    ];

    /// Those of version 2.
    const OF_VERSION_2: [Self; 14] = [
        Self::SeriesId,
        Self::Schema,
        Self::ZeroThreshold,
        Self::CustomBounds,
        Self::PositiveOffset,
        Self::PositiveLength,
        Self::NegativeOffset,
        Self::NegativeLength,
        Self::Timestamps,
        Self::StartTimestamps,
        Self::CounterResetHints,
        Self::Sums,
        Self::CountDeltas,
        Self::CountsFloat,
    ];

    /// Those that blocks of a version have, in their order.
    pub(super) fn of_version(version: u16) -> &'static [Self] {
        if version < 3 {
            &Self::OF_VERSION_2
        } else {
            &Self::NOW
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeriesId => "series_id",
            Self::Schema => "schema",
            Self::ZeroThreshold => "zero_threshold",
            Self::CustomBounds => "custom_bounds",
            Self::PositiveOffset | Self::NegativeOffset => "offset",
            Self::PositiveLength | Self::NegativeLength => "length",
            Self::Timestamps => "timestamps",
            Self::StartTimestamps => "start_timestamps",
            Self::CounterResetHints => "counter_reset_hints",
            Self::Sums => "sums",
            Self::CountDeltas => "count_deltas",
            Self::SumScale => "sum_scale",
            Self::SumSteps => "sum_steps",
            Self::SumCorrections => "sum_corrections",
            Self::CountGaps => "count_gaps",
            Self::CountChanges => "count_changes",
            Self::CountsFloat => "counts_float",
        }
    }

    pub(super) fn row_kind(self) -> RowKind {
        match self {
            Self::SeriesId | Self::Schema | Self::ZeroThreshold | Self::SumScale => RowKind::Required,
            _ => RowKind::List,
        }
    }

    /// True if its order is of use to anybody.
    pub(super) fn has_limits(self) -> bool {
        matches!(self, Self::SeriesId | Self::Timestamps)
    }

    fn leaf(self, name: &str) -> Result<TypePtr, ParquetError> {
        let physical = match self {
            Self::SeriesId | Self::Schema | Self::CounterResetHints | Self::SumScale => PhysicalType::INT32,
            Self::ZeroThreshold | Self::CustomBounds | Self::Sums | Self::CountsFloat => PhysicalType::DOUBLE,
            _ => PhysicalType::INT64,
        };
        let logical = match self {
            Self::Timestamps | Self::StartTimestamps => Some(timestamp()),
            _ => None,
        };
        let leaf = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical);
        Ok(Arc::new(leaf.build()?))
    }
}

/// The schema of `histograms.parquet`.
pub(super) fn histograms() -> Result<TypePtr, ParquetError> {
    let mut fields = Vec::new();
    for column in HistogramColumn::NOW {
        let first_of_span = SPAN_COLUMNS.iter().find(|(_, offset, _)| *offset == column);
        let is_second = SPAN_COLUMNS.iter().any(|(.., length)| *length == column);
        match (first_of_span, column.row_kind()) {
            (Some((name, offset, length)), _) => {
                let pair = vec![offset.leaf(offset.name())?, length.leaf(length.name())?];
                fields.push(list(name, Arc::new(group("element", pair)?))?);
            }
            (None, RowKind::List) if !is_second => {
                fields.push(list(column.name(), column.leaf("element")?)?);
            }
            (None, RowKind::List) => {}
            (None, _) => fields.push(column.leaf(column.name())?),
        }
    }
    let schema = Type::group_type_builder("histograms").with_fields(fields);
    Ok(Arc::new(schema.build()?))
}

fn group(name: &str, fields: Vec<TypePtr>) -> Result<Type, ParquetError> {
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_fields(fields)
        .build()
}

/// A list as Parquet wants it: never null, without null elements.
fn list(name: &str, element: TypePtr) -> Result<TypePtr, ParquetError> {
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![element])
        .build()?;
    let list = Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_converted_type(ConvertedType::LIST)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)]);
    Ok(Arc::new(list.build()?))
}

/// The columns of `series.parquet` that are no labels, in their order; those of the labels follow, `__name__` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeriesColumn {
    SeriesId,
    EntityId,
    FirstRow,
    NRows,
    SameTimestamps,
    FirstRun,
    NRuns,
}

impl SeriesColumn {
    pub(super) const ALL: [Self; 7] = [
        Self::SeriesId,
        Self::EntityId,
        Self::FirstRow,
        Self::NRows,
        Self::SameTimestamps,
        Self::FirstRun,
        Self::NRuns,
    ];

    /// Those that blocks of a version have.
    pub(super) fn of_version(version: u16) -> &'static [Self] {
        let without_runs = Self::ALL.split_at(Self::FirstRun as usize).0;
        if version < 2 { without_runs } else { &Self::ALL }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeriesId => "series_id",
            Self::EntityId => "entity_id",
            Self::FirstRow => "first_row",
            Self::NRows => "n_rows",
            Self::SameTimestamps => "same_timestamps",
            Self::FirstRun => "first_run",
            Self::NRuns => "n_runs",
        }
    }
}

/// The columns of the labels of these names: the names themselves, but with a prefix where a column is called so
/// already. Some readers do not tell upper from lower case, so neither is told here.
pub(super) fn label_columns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: Vec<String> = SeriesColumn::ALL
        .into_iter()
        .map(|column| column.name().to_owned())
        .collect();
    let column = |name: &str| {
        let mut column = name.to_owned();
        while taken.contains(&column.to_lowercase()) {
            column.insert_str(0, "label_");
        }
        taken.push(column.to_lowercase());
        column
    };
    names.map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaves_of_the_schema_are_the_columns() {
        let descriptor = parquet::schema::types::SchemaDescriptor::new(histograms().unwrap());
        let leaves: Vec<String> = descriptor
            .columns()
            .iter()
            .map(|leaf| leaf.path().string())
            .collect();
        assert_eq!(leaves.len(), HistogramColumn::NOW.len());
        for (leaf, column) in leaves.iter().zip(HistogramColumn::NOW) {
            let is_list = leaf.contains(".list.element");
            assert_eq!(is_list, column.row_kind() == RowKind::List, "{leaf}");
            assert!(leaf.contains(column.name()), "{leaf}");
        }
        assert_eq!(leaves[5], "positive_spans.list.element.length");
        let levels = |column: HistogramColumn| {
            let leaf = descriptor.column(column as usize);
            (leaf.max_rep_level(), leaf.max_def_level())
        };
        assert_eq!(levels(HistogramColumn::PositiveOffset), (1, 1));
        assert_eq!(levels(HistogramColumn::Schema), (0, 0));
    }

    #[test]
    fn labels_get_columns_of_their_own() {
        let names = ["__name__", "app", "App", "series_id", "label_series_id"];
        let columns = label_columns(names.into_iter());
        assert_eq!(
            columns,
            [
                "__name__",
                "app",
                "label_App",
                "label_series_id",
                "label_label_series_id"
            ]
        );
    }
}
