//! `series.parquet`: which series the block has, and where their rows are.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use hashbrown::HashMap;
use model::{BUCKET_LABEL, LaneKind, METRIC_NAME, SeriesName};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::super::manifest::FileSummary;
use super::super::order::StreamKey;
use super::super::schema::{self, SeriesColumn};
use super::sink::CheckedSink;
use crate::Error;

/// Rows that are turned into columns at a time, and rows of a page: until a page is full the writer takes ten bytes
/// per row and label, which is a hundred times what they become.
const BATCH_ROWS: usize = 16_384;

/// Room for the distinct values of a label: no column is to fall back to repeating them.
const DICTIONARY_BYTES_MAX: usize = 1 << 30;

/// All series of a block, their labels as codes. Code 0 is the absent label.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    labels: Vec<LabelValues>,
    label_idx: HashMap<String, usize>,
    /// Labels by entity, in order of first appearance.
    entities: Vec<EntityCodes>,
    entity_idx: HashMap<EntityCodes, u32>,
    streams: Vec<StreamRow>,
    /// In batches of [`BATCH_ROWS`], so that none ever moves.
    series: Vec<Vec<SeriesRow>>,
    n_series: usize,
    /// Runs of native histograms so far.
    n_runs: u64,
}

/// `(label, code)`, sorted by name.
type EntityCodes = Arc<[(u32, u32)]>;

/// The distinct values of one label.
#[derive(Debug)]
struct LabelValues {
    name: String,
    values: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct StreamRow {
    base: Arc<str>,
    entity: u32,
}

#[derive(Debug)]
struct SeriesRow {
    stream: u32,
    name_code: u32,
    /// Code of the bucket's bound; 0 for what is no bucket.
    le_code: u32,
    n_rows: u32,
    same_timestamps: bool,
    /// Where its runs of native histograms end.
    runs_end: u64,
}

/// What was written.
#[derive(Debug)]
pub(super) struct WrittenSeries {
    pub(super) file: FileSummary,
    pub(super) n_series: u64,
    pub(super) n_streams: u64,
    pub(super) n_entities: u64,
    pub(super) label_names: Vec<String>,
}

impl SeriesTable {
    /// Begins a stream.
    pub(super) fn push_stream(&mut self, key: StreamKey<'_>) -> Result<(), Error> {
        let codes = key.entity.iter().map(|(name, value)| self.code(name, value));
        let codes: EntityCodes = codes.collect();
        let n_entities = u32::try_from(self.entities.len()).map_err(|_| TOO_MANY)?;
        let entities = &mut self.entities;
        let entity = *self.entity_idx.entry(codes).or_insert_with_key(|codes| {
            entities.push(Arc::clone(codes));
            n_entities
        });
        let same_base = self.streams.last().filter(|stream| *stream.base == *key.base);
        let base = same_base.map_or_else(|| Arc::from(key.base), |stream| Arc::clone(&stream.base));
        self.streams.push(StreamRow { base, entity });
        Ok(())
    }

    /// Adds a series to the last stream, whose rows follow those of the series before; returns its id.
    pub(super) fn push_lane(
        &mut self,
        lane: LaneKind<'_>,
        n_rows: usize,
        same_timestamps: bool,
    ) -> Result<u32, Error> {
        // Ids are signed in the file.
        let series_id = i32::try_from(self.n_series)
            .map_err(|_| TOO_MANY)?
            .cast_unsigned();
        let n_rows = u32::try_from(n_rows).map_err(|_| Error::Unblockable {
            what: "2^32 samples of one series",
        })?;
        let base = self.streams.last().map_or("", |stream| &stream.base);
        let name = SeriesName { base, lane }.metric_name();
        let (_, name_code) = self.code(METRIC_NAME, &name);
        let le_code = match lane {
            LaneKind::Bucket(le) => self.code(BUCKET_LABEL, le).1,
            LaneKind::Value | LaneKind::Sum | LaneKind::Count => 0,
        };
        let stream = u32::try_from(self.streams.len())
            .map_err(|_| TOO_MANY)?
            .saturating_sub(1);
        let row = SeriesRow {
            stream,
            name_code,
            le_code,
            n_rows,
            same_timestamps,
            runs_end: self.n_runs,
        };
        match self.series.last_mut().filter(|batch| batch.len() < BATCH_ROWS) {
            Some(batch) => batch.push(row),
            None => {
                let mut batch = Vec::with_capacity(BATCH_ROWS);
                batch.push(row);
                self.series.push(batch);
            }
        }
        self.n_series += 1;
        Ok(series_id)
    }

    /// Says that the last series has these runs of native histograms, which follow those before.
    pub(super) fn note_runs(&mut self, runs: std::ops::Range<u64>) {
        self.n_runs = runs.end;
        if let Some(series) = self.series.last_mut().and_then(|batch| batch.last_mut()) {
            series.runs_end = runs.end;
        }
    }

    /// Writes the file.
    pub(super) fn write<W: Write + Send>(self, sink: W) -> Result<(W, WrittenSeries), ParquetError> {
        let mut labels: Vec<usize> = (0..self.labels.len()).collect();
        labels.sort_unstable_by(|a, b| self.label_name(*a).cmp(self.label_name(*b)));
        let label_names: Vec<String> = labels
            .iter()
            .map(|idx| self.label_name(*idx).to_owned())
            .collect();
        let schema = Arc::new(series_schema(&label_names));
        let mut sink = CheckedSink::new(sink);
        {
            let mut writer = ArrowWriter::try_new(&mut sink, Arc::clone(&schema), Some(properties()))?;
            let mut table = Columns::new(&self, &labels);
            for (batch_idx, rows) in self.series.iter().enumerate() {
                let columns = table.columns(batch_idx * BATCH_ROWS, rows);
                let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
                writer.write(&batch?)?;
            }
            writer.close()?;
        }
        let (sink, mut file) = sink.into_parts();
        // The file is always read, and checked, as a whole.
        (file.footer_bytes, file.footer_crc32c) = (0, 0);
        let written = WrittenSeries {
            file,
            n_series: self.n_series as u64,
            n_streams: self.streams.len() as u64,
            n_entities: self.entities.len() as u64,
            label_names,
        };
        Ok((sink, written))
    }

    fn label_name(&self, label: usize) -> &str {
        self.labels.get(label).map_or("", |label| &label.name)
    }

    /// The label of a name and the code of one of its values.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "4 G distinct texts do not fit into memory"
    )]
    #[expect(
        clippy::indexing_slicing,
        reason = "the index was found or made a line before"
    )]
    fn code(&mut self, name: &str, value: &str) -> (u32, u32) {
        let label_idx = match self.label_idx.get(name) {
            Some(label_idx) => *label_idx,
            None => {
                self.label_idx.insert(name.to_owned(), self.labels.len());
                self.labels.push(LabelValues::new(name));
                self.labels.len() - 1
            }
        };
        let label = &mut self.labels[label_idx];
        let code = match label.codes.get(value) {
            Some(code) => *code,
            None => {
                let (value, code) = (Arc::<str>::from(value), label.values.len() as u32 + 1);
                label.values.push(Arc::clone(&value));
                label.codes.insert(value, code);
                code
            }
        };
        (label_idx as u32, code)
    }

    /// Entities as they rank among all by their labels.
    #[expect(
        clippy::indexing_slicing,
        reason = "the positions are those of the table itself"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer entities than 2^32"
    )]
    fn entity_ranks(&self) -> Vec<u32> {
        let text = |(label, code): &(u32, u32)| {
            let label = &self.labels[*label as usize];
            (label.name.as_str(), &*label.values[*code as usize - 1])
        };
        let mut sorted: Vec<usize> = (0..self.entities.len()).collect();
        sorted.sort_unstable_by(|a, b| {
            let texts = |entity: usize| self.entities[entity].iter().map(text);
            texts(*a).cmp(texts(*b))
        });
        let mut ranks = vec![0; sorted.len()];
        for (rank, entity) in sorted.into_iter().enumerate() {
            ranks[entity] = rank as u32;
        }
        ranks
    }
}

impl LabelValues {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Vec::new(),
            codes: HashMap::new(),
        }
    }
}

const TOO_MANY: Error = Error::Unblockable {
    what: "more than 2^31 series",
};

fn series_schema(label_names: &[String]) -> Schema {
    let own = SeriesColumn::ALL.into_iter().map(|column| {
        let kind = match column {
            SeriesColumn::SeriesId | SeriesColumn::EntityId => DataType::Int32,
            SeriesColumn::FirstRow | SeriesColumn::NRows | SeriesColumn::FirstRun | SeriesColumn::NRuns => {
                DataType::Int64
            }
            SeriesColumn::SameTimestamps => DataType::Boolean,
        };
        Field::new(column.name(), kind, false)
    });
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let labels = schema::label_columns(label_names.iter().map(String::as_str))
        .into_iter()
        .map(|name| Field::new(name, dictionary.clone(), true));
    Schema::new(own.chain(labels).collect::<Vec<Field>>())
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(schema::CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(usize::MAX))
        .set_data_page_row_count_limit(BATCH_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX);
    for column in SeriesColumn::ALL {
        let path = ColumnPath::from(column.name());
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        if column != SeriesColumn::SameTimestamps {
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

/// Turns rows into columns.
struct Columns<'a> {
    table: &'a SeriesTable,
    ranks: Vec<u32>,
    /// Positions of the labels in the table, sorted by name, with their dictionaries.
    labels: Vec<(usize, ArrayRef)>,
    /// The first row of the next series, and its first run of native histograms.
    next_row: i64,
    next_run: i64,
}

impl<'a> Columns<'a> {
    fn new(table: &'a SeriesTable, labels: &[usize]) -> Self {
        let dictionary = |label: &usize| {
            let values = table.labels.get(*label).map_or(&[][..], |label| &label.values);
            let values: ArrayRef = Arc::new(StringArray::from_iter_values(values));
            (*label, values)
        };
        Self {
            table,
            ranks: table.entity_ranks(),
            labels: labels.iter().map(dictionary).collect(),
            next_row: 0,
            next_run: 0,
        }
    }

    /// The columns of these series, the first of which has the id `first_id`.
    #[expect(
        clippy::indexing_slicing,
        reason = "the positions are those of the table itself"
    )]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ids were checked when they were given"
    )]
    #[expect(clippy::cast_possible_wrap, reason = "ids were checked when they were given")]
    fn columns(&mut self, first_id: usize, rows: &[SeriesRow]) -> Vec<ArrayRef> {
        let entity = |row: &SeriesRow| self.table.streams[row.stream as usize].entity as usize;
        let ids = (first_id..).take(rows.len()).map(|id| id as i32);
        let ranks = rows.iter().map(|row| self.ranks[entity(row)].cast_signed());
        let next_row = &mut self.next_row;
        let first_rows = rows.iter().map(|row| {
            let first_row = *next_row;
            *next_row += i64::from(row.n_rows);
            first_row
        });
        let first_rows = Int64Array::from_iter_values(first_rows);
        let mut same_timestamps = BooleanBuilder::with_capacity(rows.len());
        rows.iter()
            .for_each(|row| same_timestamps.append_value(row.same_timestamps));
        let ends = rows.iter().map(|row| row.runs_end.cast_signed());
        let first_runs: Vec<i64> = [self.next_run]
            .into_iter()
            .chain(ends.clone())
            .take(rows.len())
            .collect();
        self.next_run = rows
            .last()
            .map_or(self.next_run, |row| row.runs_end.cast_signed());
        let n_runs = ends.zip(&first_runs).map(|(end, first)| end - first);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(ids)),
            Arc::new(Int32Array::from_iter_values(ranks)),
            Arc::new(first_rows),
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|row| i64::from(row.n_rows)),
            )),
            Arc::new(same_timestamps.finish()),
            Arc::new(Int64Array::from_iter_values(first_runs.iter().copied())),
            Arc::new(Int64Array::from_iter_values(n_runs)),
        ];
        columns.extend(
            self.labels
                .iter()
                .map(|(label, values)| self.label_column(rows, *label, values)),
        );
        columns
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the positions are those of the table itself"
    )]
    fn label_column(&self, rows: &[SeriesRow], label: usize, values: &ArrayRef) -> ArrayRef {
        let name = self.table.label_name(label);
        let own_code = |row: &SeriesRow| {
            let entity = self.table.streams[row.stream as usize].entity;
            let codes = &self.table.entities[entity as usize];
            let found = codes.iter().find(|(found, _)| *found as usize == label);
            found.map_or(0, |(_, code)| *code)
        };
        let mut last: Option<(u32, u32)> = None;
        let codes = rows.iter().map(|row| {
            if name == METRIC_NAME {
                return row.name_code;
            }
            if name == BUCKET_LABEL && row.le_code != 0 {
                return row.le_code;
            }
            match last {
                Some((stream, code)) if stream == row.stream => code,
                _ => {
                    let code = own_code(row);
                    last = Some((row.stream, code));
                    code
                }
            }
        });
        let keys: Int32Array = codes
            .map(|code| code.checked_sub(1).map(u32::cast_signed))
            .collect();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::clone(values)))
    }
}
