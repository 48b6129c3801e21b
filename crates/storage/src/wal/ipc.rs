//! Arrow IPC: a record batch as one encapsulated message, without its schema, which the kind of record fixes.
//!
//! Buffers are compressed one by one (lz4 frames), so that a column of equal values costs next to nothing.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::bytes::{u32_at, u64_at};
use super::lz4::unpacked_bytes_max;

/// Rows a batch may have.
pub(crate) const ROWS_MAX: usize = 1 << 16;

/// Bytes one column buffer may have: text is cut into records far below that.
const BUFFER_BYTES_MAX: u64 = 32 << 20;

/// Bytes all of them may have together.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// Bytes beyond its length that a buffer's last block may seem to have.
const BLOCK_BYTES_MAX: u64 = 4 << 20;

/// Alignment of the parts of a message.
const ALIGNMENT: usize = 8;

/// Before the metadata: a marker and the metadata's length.
const PREFIX_BYTES: usize = 8;
const PREFIX_MARKER: u32 = u32::MAX;

/// Turns record batches into payloads. Keeps its working memory between calls.
pub(crate) struct IpcEncoder {
    generator: IpcDataGenerator,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl IpcEncoder {
    /// An encoder that compresses.
    ///
    /// # Errors
    /// If lz4 is not compiled in.
    pub(crate) fn new() -> Result<Self, ArrowError> {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        Ok(Self {
            generator: IpcDataGenerator::default(),
            options: options.try_with_compression(Some(CompressionType::LZ4_FRAME))?,
            context: IpcWriteContext::default(),
        })
    }

    /// The payload of a batch without dictionaries. Its length is a multiple of 8.
    ///
    /// # Errors
    /// If Arrow refuses the batch.
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut dictionaries = DictionaryTracker::new(true);
        let (_, message) =
            self.generator
                .encode(batch, &mut dictionaries, &self.options, &mut self.context)?;
        let mut payload = Vec::with_capacity(message.arrow_data.len() + 1_024);
        write_message(&mut payload, message, &self.options)?;
        payload.resize(payload.len().next_multiple_of(ALIGNMENT), 0);
        Ok(payload)
    }
}

/// Reads a payload back.
///
/// Sizes that the payload claims are checked before anything is allocated.
///
/// # Errors
/// What does not fit, as a clause.
pub(crate) fn decode(payload: &[u8], schema: &SchemaRef) -> Result<RecordBatch, String> {
    if u32_at(payload, 0) != Some(PREFIX_MARKER) {
        return Err("this is no Arrow message".to_owned());
    }
    let metadata_len = u32_at(payload, 4).ok_or("the message is cut off")? as usize;
    let body_start = PREFIX_BYTES
        .checked_add(metadata_len)
        .ok_or("the metadata is too long")?;
    let metadata = payload
        .get(PREFIX_BYTES..body_start)
        .ok_or("the metadata is cut off")?;
    let body = payload.get(body_start..).ok_or("the body is cut off")?;
    let message = arrow_ipc::root_as_message(metadata).map_err(|error| error.to_string())?;
    let batch = message
        .header_as_record_batch()
        .ok_or("the message is no record batch")?;
    check_sizes(&batch, body, schema)?;
    read_record_batch(
        &Buffer::from(body),
        batch,
        SchemaRef::clone(schema),
        &HashMap::new(),
        None,
        &message.version(),
    )
    .map_err(|error| error.to_string())
}

/// Refuses a batch whose buffers do not lie in the body, claim to be huge when unpacked, or have nulls; and what
/// Arrow panics on: buffers that end within an element, counts of buffers that no column of ours has.
fn check_sizes(batch: &arrow_ipc::RecordBatch<'_>, body: &[u8], schema: &SchemaRef) -> Result<(), String> {
    if usize::try_from(batch.length()).map_or(true, |n_rows| n_rows > ROWS_MAX) {
        return Err(format!("{} rows, more than {ROWS_MAX}", batch.length()));
    }
    if batch.nodes().is_some_and(|nodes| {
        nodes
            .iter()
            .any(|node| node.null_count() != 0 || u64::try_from(node.length()).is_err())
    }) {
        return Err("a column has nulls or no length".to_owned());
    }
    if batch.compression().is_none() {
        return Err("the batch is not compressed".to_owned());
    }
    if batch
        .variadicBufferCounts()
        .is_some_and(|counts| !counts.is_empty())
    {
        return Err("the batch has columns of views".to_owned());
    }
    let mut widths = Vec::new();
    schema
        .fields()
        .iter()
        .for_each(|field| push_element_widths(field, &mut widths));
    let buffers = batch.buffers().unwrap_or_default();
    if buffers.len() != widths.len() {
        return Err(format!(
            "{} column buffers instead of {}",
            buffers.len(),
            widths.len()
        ));
    }
    let mut n_bytes = 0;
    for (buffer, width) in buffers.iter().zip(widths) {
        let unpacked_len = unpacked_len(buffer, body)?;
        if unpacked_len > BUFFER_BYTES_MAX || !unpacked_len.is_multiple_of(width) {
            return Err(format!("a column buffer of {unpacked_len} bytes"));
        }
        n_bytes += unpacked_len;
    }
    if n_bytes > BATCH_BYTES_MAX {
        return Err(format!("column buffers of {n_bytes} bytes"));
    }
    Ok(())
}

/// The bytes a buffer claims to have when it is unpacked; unpacking checks the claim, but only afterwards, so that
/// one is refused that may become much more.
fn unpacked_len(buffer: &arrow_ipc::Buffer, body: &[u8]) -> Result<u64, String> {
    let range = usize::try_from(buffer.offset())
        .ok()
        .zip(usize::try_from(buffer.length()).ok())
        .and_then(|(start, len)| Some(start..start.checked_add(len)?));
    let bytes = range
        .and_then(|range| body.get(range))
        .ok_or("a column buffer lies outside of the body")?;
    if bytes.is_empty() {
        return Ok(0);
    }
    let claim = u64_at(bytes, 0).ok_or("a column buffer is cut off")?;
    // A buffer that would not shrink stands there as it is.
    if claim == u64::MAX {
        return Ok(bytes.len() as u64 - 8);
    }
    let frame = bytes.get(8..).unwrap_or(&[]);
    let bytes_max = if frame.is_empty() {
        0
    } else {
        unpacked_bytes_max(frame).ok_or("a column buffer is no lz4 frame")?
    };
    if bytes_max > claim.saturating_add(BLOCK_BYTES_MAX) {
        return Err(format!(
            "a column buffer of {claim} bytes that may become {bytes_max}"
        ));
    }
    Ok(claim)
}

/// Adds the bytes per element of each buffer that a column of this type has, in the order of the format.
fn push_element_widths(field: &Field, widths: &mut Vec<u64>) {
    const VALIDITY: u64 = 1;
    const OFFSETS: u64 = 4;
    const TEXT: u64 = 1;
    match field.data_type() {
        DataType::Utf8 | DataType::Binary => widths.extend([VALIDITY, OFFSETS, TEXT]),
        DataType::List(item) => {
            widths.extend([VALIDITY, OFFSETS]);
            push_element_widths(item, widths);
        }
        fixed => widths.extend([VALIDITY, fixed.primitive_width().unwrap_or(1) as u64]),
    }
}

impl std::fmt::Debug for IpcEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IpcEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::UInt64Array;
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("value", DataType::UInt64, false)]))
    }

    fn payload(n_rows: u64) -> Vec<u8> {
        let values = UInt64Array::from_iter_values((0..n_rows).map(|row| row / 7));
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(values)]).unwrap();
        IpcEncoder::new().unwrap().encode(&batch).unwrap()
    }

    #[test]
    fn large_and_small_batches_are_read_back() {
        for n_rows in [0, 1, 2, 10_000, ROWS_MAX as u64] {
            let batch = decode(&payload(n_rows), &schema()).unwrap();
            assert_eq!(batch.num_rows() as u64, n_rows);
        }
    }

    #[test]
    fn a_frame_that_may_become_much_more_than_it_claims_is_refused_before_it_is_unpacked() {
        let mut bytes = payload(ROWS_MAX as u64);
        let magic = [0x04, 0x22, 0x4d, 0x18];
        let frame = bytes.windows(4).position(|window| window == magic).unwrap();
        assert_eq!(unpacked_bytes_max(&bytes[frame..]), Some(BLOCK_BYTES_MAX));
        // In the place of its only block, as many tiny ones as there is room for.
        let first = frame + 7;
        let n_stored = u32_at(&bytes, first).unwrap() as usize;
        let n_blocks = (n_stored / 5).min(100);
        for (place, byte) in bytes[first..].iter_mut().zip([1, 0, 0, 0, 0].repeat(n_blocks)) {
            *place = byte;
        }
        bytes[first + 5 * n_blocks..][..4].fill(0);
        let bytes_max = n_blocks as u64 * BLOCK_BYTES_MAX;
        assert_eq!(unpacked_bytes_max(&bytes[frame..]), Some(bytes_max));
        let refused = decode(&bytes, &schema()).unwrap_err();
        assert!(refused.contains("may become"), "{refused}");
    }
}
