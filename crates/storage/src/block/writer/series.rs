//! `series.parquet`: which series the block has, and where their rows are.

use std::io::Write;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray};
use hashbrown::HashMap;
use model::{BUCKET_LABEL, LaneKind, METRIC_NAME, SeriesName};
use parquet::errors::ParquetError;

use super::super::manifest::FileSummary;
use super::super::order::StreamKey;
use super::super::schema::SeriesColumn;
use super::columns::{BATCH_ROWS, ColumnsFile};
use super::sink::CheckedSink;
use crate::Error;

/// All series of a block, their labels as codes. Code 0 is the absent label.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    labels: Vec<LabelValues>,
    label_idx: HashMap<String, usize>,
    /// Labels by entity, in order of first appearance.
    entities: Vec<EntityCodes>,
    entity_idx: HashMap<EntityCodes, u32>,
    /// The metric of the last stream.
    last_base: Arc<str>,
    streams: Vec<StreamRow>,
    /// In batches of [`BATCH_ROWS`], so that none ever moves.
    series: Vec<Vec<SeriesRow>>,
    n_series: usize,
    /// Series with runs of native histograms, ascending, and where those of each end.
    runs: Vec<(usize, u64)>,
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
    entity: u32,
    /// Its series, which follow those of the stream before.
    n_series: u32,
}

#[derive(Debug)]
struct SeriesRow {
    name_code: u32,
    /// Code of the bucket's bound; 0 for what is no bucket.
    le_code: u32,
    n_rows: u32,
    same_timestamps: bool,
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
        if *self.last_base != *key.base {
            self.last_base = Arc::from(key.base);
        }
        self.streams.push(StreamRow { entity, n_series: 0 });
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
        let base = Arc::clone(&self.last_base);
        let name = SeriesName { base: &base, lane }.metric_name();
        let (_, name_code) = self.code(METRIC_NAME, &name);
        let le_code = match lane {
            LaneKind::Bucket(le) => self.code(BUCKET_LABEL, le).1,
            LaneKind::Value | LaneKind::Sum | LaneKind::Count => 0,
        };
        if let Some(stream) = self.streams.last_mut() {
            stream.n_series += 1;
        }
        let row = SeriesRow {
            name_code,
            le_code,
            n_rows,
            same_timestamps,
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
        self.runs.push((self.n_series.saturating_sub(1), runs.end));
    }

    /// Writes the file.
    pub(super) fn write<W: Write + Send>(self, sink: W) -> Result<(W, WrittenSeries), ParquetError> {
        let mut labels: Vec<&LabelValues> = self.labels.iter().collect();
        labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let label_names: Vec<String> = labels.iter().map(|label| label.name.clone()).collect();
        let mut sink = CheckedSink::new(sink);
        let file = ColumnsFile::new(&mut sink, &label_names)?;
        if self.n_series > 0 {
            self.write_columns(file, &labels)?;
        } else {
            file.close()?;
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

/// Turning the table into columns, each from its first row to its last.
impl SeriesTable {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ids were checked when they were given"
    )]
    #[expect(clippy::cast_possible_wrap, reason = "ids were checked when they were given")]
    fn write_columns<W: Write + Send>(
        &self,
        mut file: ColumnsFile<W>,
        labels: &[&LabelValues],
    ) -> Result<(), ParquetError> {
        let mut columns = file.begin()?;
        for column in SeriesColumn::ALL {
            match column {
                SeriesColumn::SeriesId => columns.push((0..self.n_series).map(|id| id as i32), int32),
                SeriesColumn::EntityId => columns.push(self.ranks(), int32),
                SeriesColumn::FirstRow => columns.push(self.first_rows(), int64),
                SeriesColumn::NRows => columns.push(self.rows().map(|row| i64::from(row.n_rows)), int64),
                SeriesColumn::SameTimestamps => {
                    let same = self.rows().map(|row| row.same_timestamps);
                    columns.push(same, |same| Arc::new(BooleanArray::from(same)))
                }
                SeriesColumn::FirstRun => columns.push(self.runs().map(|(first, _)| first), int64),
                SeriesColumn::NRuns => columns.push(self.runs().map(|(_, n_runs)| n_runs), int64),
            }?;
        }
        for label in labels {
            let values: ArrayRef = Arc::new(StringArray::from_iter_values(&label.values));
            let keys = self.codes_of(label);
            let keys = keys.map(|code| code.checked_sub(1).map(u32::cast_signed));
            columns.push(keys, |keys| {
                let keys = Int32Array::from(keys);
                Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::clone(&values)))
            })?;
        }
        columns.finish()?;
        file.close()
    }

    fn rows(&self) -> impl Iterator<Item = &SeriesRow> {
        self.series.iter().flatten()
    }

    /// What is told of entities, by series.
    #[expect(
        clippy::indexing_slicing,
        reason = "the positions are those of the table itself"
    )]
    fn by_series<T: Copy>(&self, of_entities: Vec<T>) -> impl Iterator<Item = T> {
        self.streams.iter().flat_map(move |stream| {
            let told = of_entities[stream.entity as usize];
            std::iter::repeat_n(told, stream.n_series as usize)
        })
    }

    /// Entities as they rank among all by their labels.
    fn ranks(&self) -> impl Iterator<Item = i32> {
        self.by_series(self.entity_ranks()).map(u32::cast_signed)
    }

    fn first_rows(&self) -> impl Iterator<Item = i64> {
        self.rows().scan(0, |next_row, row| {
            let first_row = *next_row;
            *next_row += i64::from(row.n_rows);
            Some(first_row)
        })
    }

    /// The first run of native histograms of each series, and how many there are.
    fn runs(&self) -> impl Iterator<Item = (i64, i64)> {
        let mut runs = self.runs.iter().peekable();
        let mut next_run = 0;
        (0..self.n_series).map(move |id| {
            let first_run = next_run;
            if let Some((_, end)) = runs.next_if(|(series, _)| *series == id) {
                next_run = end.cast_signed();
            }
            (first_run, next_run - first_run)
        })
    }

    /// The codes of a label, 0 where it is absent.
    fn codes_of(&self, label: &LabelValues) -> impl Iterator<Item = u32> {
        let label_idx = self.label_idx.get(&label.name).copied();
        let of_entity = |codes: &EntityCodes| {
            let found = codes.iter().find(|(found, _)| Some(*found as usize) == label_idx);
            found.map_or(0, |(_, code)| *code)
        };
        let of_entities = self.by_series(self.entities.iter().map(of_entity).collect());
        let (is_name, is_bucket) = (label.name == METRIC_NAME, label.name == BUCKET_LABEL);
        self.rows().zip(of_entities).map(move |(row, code)| {
            if is_name {
                row.name_code
            } else if is_bucket && row.le_code != 0 {
                row.le_code
            } else {
                code
            }
        })
    }
}

fn int32(values: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

fn int64(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use bytes::Bytes;
    use model::Labels;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    /// Streams of two series each, of which every third is of native histograms.
    fn table(n_streams: u32) -> SeriesTable {
        let mut table = SeriesTable::default();
        for stream in 0..n_streams {
            let entity = Labels::from_pairs([("pod", format!("{stream:05}").as_str())]).unwrap();
            let key = StreamKey {
                base: "requests",
                entity: &entity,
            };
            table.push_stream(key).unwrap();
            for (lane, le) in ["1", "+Inf"].into_iter().enumerate() {
                let n_rows = stream as usize % 7 + 1;
                table.push_lane(LaneKind::Bucket(le), n_rows, lane > 0).unwrap();
                if table.n_series % 3 == 0 {
                    let first = table.runs.last().map_or(0, |(_, end)| *end);
                    table.note_runs(first..first + 2);
                }
            }
        }
        table
    }

    fn int64_of(batch: &RecordBatch, name: &str) -> Vec<i64> {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    }

    fn label_of<'a>(batch: &'a RecordBatch, name: &str) -> Vec<&'a str> {
        let column = batch.column_by_name(name).unwrap().as_dictionary::<Int32Type>();
        let column = column.downcast_dict::<StringArray>().unwrap();
        column.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn series_of_several_batches_are_read_as_they_were_written() {
        let table = table(10_000);
        let n_series = table.n_series;
        assert!(n_series > BATCH_ROWS);
        let (file, written) = table.write(Vec::new()).unwrap();
        assert_eq!(
            (written.n_series, written.n_streams, written.n_entities),
            (20_000, 10_000, 10_000)
        );
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
        let mut reader = builder.with_batch_size(n_series).build().unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert!(reader.next().is_none());
        let (first_rows, n_rows) = (int64_of(&batch, "first_row"), int64_of(&batch, "n_rows"));
        let (first_runs, n_runs) = (int64_of(&batch, "first_run"), int64_of(&batch, "n_runs"));
        let same = batch.column_by_name("same_timestamps").unwrap().as_boolean();
        let (pods, bounds) = (label_of(&batch, "pod"), label_of(&batch, "le"));
        assert!(
            label_of(&batch, "__name__")
                .iter()
                .all(|name| *name == "requests_bucket")
        );
        let (mut next_row, mut next_run) = (0, 0);
        for series in 0..n_series {
            let stream = series / 2;
            assert_eq!((first_rows[series], first_runs[series]), (next_row, next_run));
            assert_eq!(n_rows[series], stream as i64 % 7 + 1);
            assert_eq!(n_runs[series], if series % 3 == 2 { 2 } else { 0 });
            assert_eq!(pods[series], format!("{stream:05}"));
            assert_eq!(bounds[series], ["1", "+Inf"][series % 2]);
            assert_eq!(same.value(series), series % 2 == 1);
            next_row += n_rows[series];
            next_run += n_runs[series];
        }
    }
}
