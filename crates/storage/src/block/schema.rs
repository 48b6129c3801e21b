//! The columns of the files of a block.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// Who wrote the files, as they say themselves.
pub(super) const CREATED_BY: &str = concat!("meshtide ", env!("CARGO_PKG_VERSION"));

/// Key of the metadata of `samples.parquet` that holds the CRC-32C of every page with its header.
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

    pub(super) fn is_optional(self) -> bool {
        !matches!(self, Self::SeriesId | Self::Timestamp)
    }

    fn field(self) -> Result<TypePtr, ParquetError> {
        let physical = match self {
            Self::SeriesId => PhysicalType::INT32,
            Self::ValueFloat => PhysicalType::DOUBLE,
            Self::Timestamp | Self::ValueInt | Self::StartTimestamp => PhysicalType::INT64,
        };
        let repetition = if self.is_optional() {
            Repetition::OPTIONAL
        } else {
            Repetition::REQUIRED
        };
        let logical = matches!(self, Self::Timestamp | Self::StartTimestamp)
            .then(|| LogicalType::timestamp(true, TimeUnit::MILLIS));
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

/// The columns of `series.parquet` that are no labels, in their order; those of the labels follow, `__name__` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeriesColumn {
    SeriesId,
    EntityId,
    FirstRow,
    NRows,
    SameTimestamps,
}

impl SeriesColumn {
    pub(super) const ALL: [Self; 5] = [
        Self::SeriesId,
        Self::EntityId,
        Self::FirstRow,
        Self::NRows,
        Self::SameTimestamps,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeriesId => "series_id",
            Self::EntityId => "entity_id",
            Self::FirstRow => "first_row",
            Self::NRows => "n_rows",
            Self::SameTimestamps => "same_timestamps",
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
