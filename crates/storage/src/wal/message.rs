//! The payload of a record batch of plain columns, written without Arrow's writer.
//!
//! Samples are written a few thousand at a time, thousands of times a second, and always with the same columns. Arrow's
//! writer spends more on a batch (arrays, builders, an encoder of its own for every buffer) than on what is in it. So
//! these bytes are put down here: one encapsulated message (metadata version 5, buffers packed one by one as lz4 frames),
//! which Arrow reads like any other.
//!
//! ```text
//!   0  4  ff ff ff ff
//!   4  4  length of the metadata
//!   8     metadata, a flatbuffer:
//!           0  where the table Message is; its shape; itself: version 5, RecordBatch, length of the body
//!          36  shape of the table RecordBatch; itself: number of rows, nodes, buffers, compression
//!          72  shape of the table BodyCompression; itself: all defaults, which are lz4 and buffer by buffer
//!          84  nodes: how many; per column number of rows, number of nulls
//!              buffers: four bytes of nothing; how many; per buffer offset and length in the body
//!         body: per buffer its length unpacked: 8; an lz4 frame; zeros up to a multiple of 8
//! ```
//! Source: Arrow's columnar format 1.5, `Message.fbs`; the layout of flatbuffers.

use codec::FramePacker;

/// Buffers and all else begin at multiples of this.
const ALIGNMENT: usize = 8;

const PREFIX: [u8; 4] = [0xff; 4];

/// The metadata up to the number of nodes. What is not the same in every message is 0.
const TABLES: [u8; NODES_AT] = tables();

const VERSION_5: u8 = 4;
const RECORD_BATCH: u8 = 3;

/// Places in the metadata.
const BODY_LENGTH_AT: usize = 24;
const N_ROWS_AT: usize = 56;
const BUFFERS_OFFSET_AT: usize = 64;
const NODES_AT: usize = 84;

/// Writes messages; keeps its working memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct MessageWriter {
    packer: FramePacker,
    n_columns: usize,
    /// Offset and length of each buffer.
    buffers: Vec<[u64; 2]>,
    body: Vec<u8>,
}

/// A larger body gives its memory back.
const BODY_BYTES_KEPT_MAX: usize = 1 << 20;

impl MessageWriter {
    /// Adds a column of elements of `width` bytes, none of which is null.
    pub(super) fn push_column(&mut self, elements: &[u8], width: usize) {
        self.push_validity();
        self.push_buffer(elements, width);
    }

    /// Adds a column of bytes: where each element ends, before them 0, and the bytes of all.
    pub(super) fn push_bytes_column(&mut self, offsets: &[u8], bytes: &[u8]) {
        self.push_validity();
        self.push_buffer(offsets, size_of::<i32>());
        self.push_buffer(bytes, 1);
    }

    /// The payload of the columns so far, which have this many rows each. The next column begins another message.
    pub(super) fn finish(&mut self, n_rows: usize) -> Vec<u8> {
        let n_bytes = 8 + NODES_AT + 16 * (self.n_columns + self.buffers.len()) + 12;
        let mut payload = Vec::with_capacity(n_bytes + self.body.len());
        payload.extend_from_slice(&PREFIX);
        payload.extend_from_slice(&word_of(n_bytes - 8));
        payload.extend_from_slice(&TABLES);
        payload.extend_from_slice(&word_of(self.n_columns));
        for _ in 0..self.n_columns {
            payload.extend_from_slice(&(n_rows as u64).to_le_bytes());
            payload.extend_from_slice(&[0; 8]);
        }
        let buffers_at = payload.len() - 8 + 4;
        payload.extend_from_slice(&[0; 4]);
        payload.extend_from_slice(&word_of(self.buffers.len()));
        for number in self.buffers.iter().flatten() {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        let mut fill_in = |at: usize, bytes: &[u8]| {
            if let Some(place) = payload.get_mut(8 + at..8 + at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        fill_in(BODY_LENGTH_AT, &(self.body.len() as u64).to_le_bytes());
        fill_in(N_ROWS_AT, &(n_rows as u64).to_le_bytes());
        fill_in(BUFFERS_OFFSET_AT, &word_of(buffers_at - BUFFERS_OFFSET_AT));
        payload.extend_from_slice(&self.body);
        self.clear();
        payload
    }

    fn clear(&mut self) {
        self.n_columns = 0;
        self.buffers.clear();
        self.body.clear();
        self.body.shrink_to(BODY_BYTES_KEPT_MAX);
    }

    /// Where there are no nulls, nothing says which they are.
    fn push_validity(&mut self) {
        self.n_columns += 1;
        self.buffers.push([self.body.len() as u64, 0]);
    }

    fn push_buffer(&mut self, elements: &[u8], width: usize) {
        let start = self.body.len();
        if !elements.is_empty() {
            self.body
                .extend_from_slice(&(elements.len() as u64).to_le_bytes());
            self.packer.push_frame(elements, width, &mut self.body);
        }
        let n_bytes = self.body.len() - start;
        self.buffers.push([start as u64, n_bytes as u64]);
        self.body.resize(self.body.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// Lengths within the metadata, which has some hundred bytes.
fn word_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// Tables in their order: before each its shape (bytes of the shape, bytes of the table, where each field is), in it
/// how far back the shape is, then the fields. References count from where they stand.
#[expect(clippy::indexing_slicing, reason = "computed when it is compiled")]
const fn tables() -> [u8; NODES_AT] {
    let mut bytes = [0; NODES_AT];
    let shorts: [(usize, u16); 14] = [
        // Message: version, type, header, length of the body.
        (4, 12),
        (6, 20),
        (8, 16),
        (10, 18),
        (12, 4),
        (14, 8),
        // RecordBatch: rows, nodes, buffers, compression.
        (36, 12),
        (38, 24),
        (40, 8),
        (42, 4),
        (44, 16),
        (46, 20),
        // BodyCompression.
        (72, 4),
        (74, 4),
    ];
    let mut position = 0;
    while position < shorts.len() {
        let (at, short) = shorts[position];
        [bytes[at], bytes[at + 1]] = short.to_le_bytes();
        position += 1;
    }
    // The first byte of words below 256: Message; its shape, its header; the shape of RecordBatch, its nodes, its
    // compression; the shape of BodyCompression.
    let small = [
        (0, 16),
        (16, 12),
        (20, 28),
        (32, VERSION_5),
        (34, RECORD_BATCH),
        (48, 12),
        (52, 32),
        (68, 8),
        (76, 4),
    ];
    position = 0;
    while position < small.len() {
        let (at, byte) = small[position];
        bytes[at] = byte;
        position += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Int64Array, RecordBatch, UInt16Array};
    use arrow_schema::{DataType, Field, Schema, SchemaRef};

    use crate::wal::ipc;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("short", DataType::UInt16, false),
            Field::new("long", DataType::Int64, false),
            Field::new("bytes", DataType::Binary, false),
        ]))
    }

    fn batch(n_rows: u32) -> RecordBatch {
        let shorts = UInt16Array::from_iter_values((0..n_rows).map(|row| (row % 22) as u16));
        let longs = Int64Array::from_iter_values((0..n_rows).map(|row| i64::from(row / 5) - 7));
        let texts: Vec<String> = (0..n_rows).map(|row| "xy".repeat(row as usize % 3)).collect();
        let bytes = BinaryArray::from_iter_values(&texts);
        RecordBatch::try_new(schema(), vec![Arc::new(shorts), Arc::new(longs), Arc::new(bytes)]).unwrap()
    }

    fn payload(writer: &mut MessageWriter, n_rows: u32) -> Vec<u8> {
        let rows = || 0..n_rows;
        let shorts: Vec<u8> = rows().flat_map(|row| ((row % 22) as u16).to_le_bytes()).collect();
        let longs: Vec<u8> = rows()
            .flat_map(|row| (i64::from(row / 5) - 7).to_le_bytes())
            .collect();
        let mut offsets = vec![0; 4];
        let mut bytes = Vec::new();
        for row in rows() {
            bytes.extend_from_slice("xy".repeat(row as usize % 3).as_bytes());
            offsets.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        }
        writer.push_column(&shorts, 2);
        writer.push_column(&longs, 8);
        writer.push_bytes_column(&offsets, &bytes);
        writer.finish(n_rows as usize)
    }

    #[test]
    fn arrow_reads_what_is_written() {
        let mut writer = MessageWriter::default();
        for n_rows in [1, 2, 3, 2_000, ipc::ROWS_MAX as u32, 7] {
            let payload = payload(&mut writer, n_rows);
            assert!(payload.len().is_multiple_of(ALIGNMENT));
            assert_eq!(
                ipc::decode(&payload, &schema()).unwrap(),
                batch(n_rows),
                "{n_rows} rows"
            );
        }
    }

    #[test]
    fn messages_say_what_those_of_arrow_say() {
        let ours = payload(&mut MessageWriter::default(), 300);
        let theirs = ipc::IpcEncoder::new().unwrap().encode(&batch(300)).unwrap();
        let message = |payload: &[u8]| {
            let n_bytes = u32::from_le_bytes(payload[4..8].try_into().unwrap()) as usize;
            let metadata = payload[8..8 + n_bytes].to_vec();
            let message = arrow_ipc::root_as_message(&metadata).unwrap();
            assert_eq!(message.bodyLength() as usize, payload.len() - 8 - n_bytes);
            let batch = message.header_as_record_batch().unwrap();
            let nodes: Vec<_> = batch.nodes().unwrap().iter().copied().collect();
            let compression = batch.compression().unwrap();
            (
                (message.version(), message.header_type(), batch.length()),
                (compression.codec(), compression.method()),
                (nodes, batch.buffers().unwrap().len()),
            )
        };
        assert_eq!(message(&ours), message(&theirs));
    }
}
