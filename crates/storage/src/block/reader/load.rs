//! `series.parquet` → [`BlockCatalog`].
//!
//! The file is read as a whole and its checksum compared before anything is decoded.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use codec::checksum::crc32c;
use hashbrown::HashMap;
use model::{BUCKET_LABEL, METRIC_NAME, SeriesName};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::manifest::FileSummary;
use super::super::range_read::RangeRead;
use super::super::schema::{HistogramColumn, SampleColumn, SeriesColumn};
use super::catalog::{
    BlockCatalog, EntityLabel, LaneCode, LanePart, Metric, SeriesEntry, SeriesRuns, StreamEntry,
};
use super::dictionary::DictionaryBuilder;
use super::table::{HistogramPages, PageTable, SamplePages};
use super::{Block, read_error};
use crate::Error;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 16_384;

impl Block {
    /// Decodes the table of series. Reads `series.parquet` and where the pages of the other files are looked up: to be
    /// kept by the caller, which counts its [`BlockCatalog::heap_bytes`].
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub fn load_catalog(&self) -> Result<BlockCatalog, Error> {
        let manifest = &self.manifest;
        let samples = &*self.files.samples;
        let pages = if manifest.n_samples == 0 {
            // There is no page index of no pages.
            SamplePages::empty()
        } else {
            load_pages(samples, manifest.samples, sample_columns())?
        };
        if pages.n_rows() != manifest.n_samples {
            return Err(self.samples_damaged(0, "the number of rows is not that of the manifest"));
        }
        let histogram_pages = match self.histograms() {
            Some((file, summary)) => load_pages(file, summary, histogram_columns(manifest.version))?,
            None => HistogramPages::empty(),
        };
        let file = &*self.files.series;
        let length = usize::try_from(file.len()).map_err(|_| self.series_damaged("it is too long"))?;
        let bytes = file
            .read_at(0, length)
            .map_err(|source| read_error(file, source))?;
        if crc32c(&bytes) != self.manifest.series.crc32c {
            return Err(self.series_damaged("the checksum is not that of the content"));
        }
        self.decode_series(bytes, pages, histogram_pages)
    }

    fn decode_series(
        &self,
        bytes: Bytes,
        pages: SamplePages,
        histogram_pages: HistogramPages,
    ) -> Result<BlockCatalog, Error> {
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| self.series_damaged(error))?;
        let manifest = &self.manifest;
        let n_rows = builder.metadata().file_metadata().num_rows();
        if u64::try_from(n_rows).is_ok_and(|n_rows| n_rows < manifest.n_entities) {
            return Err(self.series_damaged("it has fewer series than the manifest has entities"));
        }
        let reader = builder
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| self.series_damaged(error))?;
        let mut loader = Loader::new(
            &manifest.label_names,
            usize::try_from(manifest.n_entities).unwrap_or(0),
            SeriesColumn::of_version(manifest.version).len(),
        );
        for batch in reader {
            let batch = batch.map_err(|error| self.series_damaged(error))?;
            loader
                .push_batch(&batch)
                .map_err(|what| self.series_damaged(what))?;
        }
        if loader.next_row != pages.n_rows() {
            return Err(self.series_damaged("the rows of series are not those of their file"));
        }
        if loader.next_run != histogram_pages.n_rows() {
            return Err(self.series_damaged("the runs of histograms are not those of their file"));
        }
        let catalog = loader.finish(pages, histogram_pages);
        let counts = [
            (catalog.n_series(), manifest.n_series),
            (catalog.n_streams(), manifest.n_streams),
        ];
        if counts.iter().any(|(found, expected)| *found as u64 != *expected) {
            return Err(self.series_damaged("the number of series is not that of the manifest"));
        }
        Ok(catalog)
    }
}

/// The columns of `samples.parquet`, by their positions in its table of pages.
pub(super) fn sample_columns() -> Vec<usize> {
    SampleColumn::ALL.iter().map(|column| *column as usize).collect()
}

/// Those of `histograms.parquet` in blocks of a version.
pub(super) fn histogram_columns(version: u16) -> Vec<usize> {
    let columns = HistogramColumn::of_version(version).iter();
    columns.map(|column| *column as usize).collect()
}

/// Where the pages of a file are.
fn load_pages<const N: usize>(
    file: &dyn RangeRead,
    summary: FileSummary,
    columns: Vec<usize>,
) -> Result<PageTable<N>, Error> {
    match summary.page_table {
        Some(table) => PageTable::open(file, summary, table, columns),
        None => PageTable::of_footer(file, summary, &columns),
    }
}

/// Puts a catalog together, batch by batch.
struct Loader {
    labels: Vec<LabelLoader>,
    names: DictionaryBuilder,
    le: DictionaryBuilder,
    has_entity: Vec<bool>,
    /// What the full names in the file split into, by code, without `le` and with one.
    splits: HashMap<(u32, bool), (Arc<str>, LanePart)>,
    metrics: Vec<Metric>,
    streams: Vec<StreamEntry>,
    series: Vec<SeriesEntry>,
    next_row: u64,
    runs: Vec<SeriesRuns>,
    next_run: u64,
    /// Columns before those of labels.
    n_own: usize,
}

/// A label column, but for `__name__`.
struct LabelLoader {
    name: Arc<str>,
    is_le: bool,
    dictionary: DictionaryBuilder,
    /// By entity.
    codes: Vec<u32>,
}

/// One batch of a dictionary column, with the catalog's codes of its values.
struct CodedColumn<'a> {
    keys: &'a arrow_array::Int32Array,
    codes: Vec<u32>,
}

impl CodedColumn<'_> {
    /// The code in one row; 0 if there is no value.
    fn code(&self, row: usize) -> u32 {
        if self.keys.is_null(row) {
            return 0;
        }
        let key = usize::try_from(self.keys.value(row)).ok();
        key.and_then(|key| self.codes.get(key)).copied().unwrap_or(0)
    }
}

type Wrong = &'static str;

impl Loader {
    fn new(label_names: &[String], n_entities: usize, n_own: usize) -> Self {
        let labels = label_names.iter().filter(|name| *name != METRIC_NAME);
        let labels = labels.map(|name| LabelLoader {
            name: Arc::from(name.as_str()),
            is_le: name == BUCKET_LABEL,
            dictionary: DictionaryBuilder::new(),
            codes: vec![0; n_entities],
        });
        Self {
            labels: labels.collect(),
            names: DictionaryBuilder::new(),
            le: DictionaryBuilder::new(),
            has_entity: vec![false; n_entities],
            splits: HashMap::new(),
            metrics: Vec::new(),
            streams: Vec::new(),
            series: Vec::new(),
            next_row: 0,
            runs: Vec::new(),
            next_run: 0,
            n_own,
        }
    }

    fn push_batch(&mut self, batch: &RecordBatch) -> Result<(), Wrong> {
        let own = |column: SeriesColumn| batch.columns().get(column as usize).ok_or("it has other columns");
        let entity_ids = int32(own(SeriesColumn::EntityId)?)?;
        let first_rows = int64(own(SeriesColumn::FirstRow)?)?;
        let n_rows = int64(own(SeriesColumn::NRows)?)?;
        let same_timestamps = own(SeriesColumn::SameTimestamps)?
            .as_boolean_opt()
            .ok_or("a column has another type")?;
        let label_columns = batch.columns().get(self.n_own..).unwrap_or(&[]);
        let runs = if self.n_own > SeriesColumn::NRuns as usize {
            let first_runs = int64(own(SeriesColumn::FirstRun)?)?;
            Some((first_runs, int64(own(SeriesColumn::NRuns)?)?))
        } else {
            None
        };
        if label_columns.len() != self.labels.len() + 1 {
            return Err("it has other columns than labels");
        }
        let mut names = None;
        let mut columns = Vec::with_capacity(self.labels.len());
        // `__name__` stands where its name sorts it, among the others.
        let name_idx = self.labels.partition_point(|label| *label.name < *METRIC_NAME);
        for (column_idx, column) in label_columns.iter().enumerate() {
            if column_idx == name_idx {
                names = Some(coded(column, &mut self.names)?);
                continue;
            }
            let label_idx = column_idx - usize::from(column_idx > name_idx);
            let label = self
                .labels
                .get_mut(label_idx)
                .ok_or("it has other columns than labels")?;
            let dictionary = if label.is_le {
                &mut self.le
            } else {
                &mut label.dictionary
            };
            columns.push(coded(column, dictionary)?);
        }
        let names = names.ok_or("it has no metric names")?;
        let le_idx = self.labels.iter().position(|label| label.is_le);
        for row in 0..batch.num_rows() {
            let le_code = le_idx
                .and_then(|idx| columns.get(idx))
                .map_or(0, |column| column.code(row));
            let lane = self.begin_series(names.code(row), le_code, entity_ids.value(row))?;
            if let Some(entity) = self.new_entity(entity_ids.value(row)) {
                for (label, column) in self.labels.iter_mut().zip(&columns) {
                    let is_lanes = label.is_le && lane.part == LanePart::Bucket;
                    if let Some(place) = label.codes.get_mut(entity).filter(|_| !is_lanes) {
                        *place = column.code(row);
                    }
                }
            }
            let (first_row, n_rows) = (first_rows.value(row), n_rows.value(row));
            if u64::try_from(first_row).ok() != Some(self.next_row) {
                return Err("the rows of a series do not follow those of the one before");
            }
            let n_rows = u32::try_from(n_rows).map_err(|_| "a series has an impossible number of rows")?;
            self.series.push(SeriesEntry {
                first_row: self.next_row,
                n_rows,
                lane,
                same_timestamps: same_timestamps.value(row),
            });
            self.next_row += u64::from(n_rows);
            if let Some((first_runs, n_runs)) = runs {
                self.push_runs(first_runs.value(row), n_runs.value(row))?;
            }
        }
        Ok(())
    }

    /// Notes the runs of the series that was pushed last.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer series than 2^31: their ids are signed"
    )]
    fn push_runs(&mut self, first_run: i64, n_runs: i64) -> Result<(), Wrong> {
        if u64::try_from(first_run).ok() != Some(self.next_run) {
            return Err("the runs of a series do not follow those of the one before");
        }
        let n_runs = u32::try_from(n_runs).map_err(|_| "a series has an impossible number of runs")?;
        if n_runs > 0 {
            self.runs.push(SeriesRuns {
                series: self.series.len() as u32 - 1,
                first_run: self.next_run,
                n_runs,
            });
            self.next_run += u64::from(n_runs);
        }
        Ok(())
    }

    /// Makes the stream of a series if it is not that of the one before; returns the lane.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer series than 2^31: their ids are signed"
    )]
    fn begin_series(&mut self, name_code: u32, le_code: u32, entity_id: i32) -> Result<LaneCode, Wrong> {
        let (base, part) = self.splits.entry((name_code, le_code != 0)).or_insert_with(|| {
            // Whether there is a bound decides, not which one.
            let le = if le_code == 0 { "" } else { "1" };
            let name = SeriesName::split(self.names.value(name_code), le);
            (Arc::from(name.base), LanePart::of_kind(name.lane))
        });
        if name_code == 0 {
            return Err("a series has no metric name");
        }
        let entity = entity_id.cast_unsigned();
        if self.metrics.last().is_none_or(|metric| metric.base != *base) {
            if self.metrics.last().is_some_and(|metric| metric.base > *base) {
                return Err("the metrics are not sorted");
            }
            self.metrics.push(Metric {
                base: Arc::clone(base),
                streams: self.streams.len()..self.streams.len(),
                names: [None; LanePart::ALL.len()],
            });
        }
        let metric_idx = self.metrics.len() as u32 - 1;
        let name = self
            .metrics
            .last_mut()
            .and_then(|metric| metric.names.get_mut(*part as usize));
        if let Some(name) = name {
            *name = Some(name_code);
        }
        let last = self.streams.last_mut();
        match last.filter(|stream| (stream.metric, stream.entity) == (metric_idx, entity)) {
            Some(stream) => stream.n_lanes += 1,
            None => {
                self.streams.push(StreamEntry {
                    metric: metric_idx,
                    entity,
                    first_series: self.series.len() as u32,
                    n_lanes: 1,
                });
                if let Some(metric) = self.metrics.last_mut() {
                    metric.streams.end += 1;
                }
            }
        }
        let le_code = if *part == LanePart::Bucket { le_code } else { 0 };
        if entity as usize >= self.has_entity.len() {
            return Err("a series has an impossible entity");
        }
        Ok(LaneCode { part: *part, le_code })
    }

    /// The entity, if it was not seen before.
    fn new_entity(&mut self, entity_id: i32) -> Option<usize> {
        let entity = usize::try_from(entity_id).ok()?;
        let seen = self.has_entity.get_mut(entity)?;
        (!std::mem::replace(seen, true)).then_some(entity)
    }

    fn finish(mut self, pages: SamplePages, histogram_pages: HistogramPages) -> BlockCatalog {
        let names = self.names.finish();
        let name_positions = |metric: &mut Metric| {
            // Without the empty name.
            for name in metric.names.iter_mut().flatten() {
                *name -= 1;
            }
        };
        self.metrics.iter_mut().for_each(name_positions);
        let mut le = Some(self.le.finish());
        let labels = self.labels.into_iter().map(|label| EntityLabel {
            dictionary: match le.take_if(|_| label.is_le) {
                Some(le) => le,
                None => label.dictionary.finish(),
            },
            name: label.name,
            codes: label.codes,
        });
        BlockCatalog {
            labels: labels.collect(),
            n_entities: self.has_entity.len(),
            metrics: self.metrics,
            streams: self.streams,
            series: self.series,
            names: names.values().get(1..).unwrap_or(&[]).to_vec(),
            identities: OnceLock::new(),
            runs: self.runs,
            pages,
            histogram_pages,
        }
    }
}

fn int32(column: &ArrayRef) -> Result<&arrow_array::Int32Array, Wrong> {
    column
        .as_primitive_opt::<Int32Type>()
        .ok_or("a column has another type")
}

fn int64(column: &ArrayRef) -> Result<&arrow_array::Int64Array, Wrong> {
    column
        .as_primitive_opt::<Int64Type>()
        .ok_or("a column has another type")
}

/// A batch of a label column, its values put into `dictionary`.
fn coded<'a>(column: &'a ArrayRef, dictionary: &mut DictionaryBuilder) -> Result<CodedColumn<'a>, Wrong> {
    const TYPE: Wrong = "a label has another type";
    if !matches!(column.data_type(), DataType::Dictionary(_, _)) {
        return Err(TYPE);
    }
    let array = column.as_dictionary_opt::<Int32Type>().ok_or(TYPE)?;
    let values = array.values().as_string_opt::<i32>().ok_or(TYPE)?;
    let codes = values.iter().map(|value| dictionary.code(value.unwrap_or("")));
    Ok(CodedColumn {
        codes: codes.collect(),
        keys: array.keys(),
    })
}
