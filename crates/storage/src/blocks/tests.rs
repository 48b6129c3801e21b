//! Blocks and their catalog over object stores of several kinds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::catalog::HashSecret;
use model::{Files, Labels, LaneKind, TimeRange};
use object_store::memory::InMemory;
use object_store::{ObjectStore, PutMode, PutOptions};
use testkit::FaultyFiles;

use super::compact::Merge;
use super::file_store::FileStore;
use super::files::NewBlock;
use super::live::Blocks;
use super::objects::Objects;
use super::*;
use crate::StreamBuffer;
use crate::block::StreamKey;

const CACHE: BlockCacheConfig = BlockCacheConfig {
    page_bytes_max: 1 << 20,
    catalog_bytes_max: 1 << 20,
};

fn open(store: &Arc<dyn ObjectStore>) -> Blocks {
    let objects = Objects::new(Arc::clone(store), Path::new("/data"));
    let (blocks, report) = Blocks::open(Arc::new(objects), CACHE).unwrap();
    assert_eq!(report.damaged, Vec::<String>::new());
    blocks
}

/// Writes a block of one series with these times.
fn write(blocks: &Blocks, times: std::ops::Range<i64>) -> BlockEntry {
    let mut buffer = StreamBuffer::stored();
    buffer.reset(1);
    buffer.timestamps_ms.extend(times.clone());
    buffer.lanes_mut()[0].values.extend(times.map(|t| t as f64));
    let mut block = NewBlock::begin(&blocks.objects, blocks.take_id()).unwrap();
    let entity = Labels::from_pairs([("job", "a")]).unwrap();
    let key = StreamKey {
        base: "up",
        entity: &entity,
    };
    block
        .writer()
        .write_stream(key, &[LaneKind::Value], &buffer)
        .unwrap();
    block.finish().unwrap().unwrap()
}

/// The samples of all blocks.
fn n_samples(blocks: &Blocks) -> usize {
    let secret = HashSecret::from_seed(1);
    let version = blocks.current();
    let count = |block: &Arc<live::LiveBlock>| {
        let part = blocks
            .source(block)
            .unwrap()
            .select_part(&[], TimeRange::ALL, &secret);
        let mut buffer = StreamBuffer::default();
        part.selection.read(0, TimeRange::ALL, &mut buffer).unwrap();
        assert_eq!(buffer.lanes()[0].values.last(), Some(&(part.last_ms as f64)));
        buffer.timestamps_ms.len()
    };
    version.blocks.iter().map(count).sum()
}

fn live_and_merge(store: &Arc<dyn ObjectStore>) {
    let blocks = open(store);
    for times in [0..20_000, 20_000..30_000] {
        let entry = write(&blocks, times);
        blocks
            .commit(&[entry.id], |state| state.add_blocks([entry.clone()]))
            .unwrap();
    }
    assert_eq!(n_samples(&blocks), 30_000);
    let version = blocks.current();
    let merge = Merge {
        objects: &blocks.objects,
        inputs: version.blocks.clone(),
        deletions: &[],
        deletions_done: 1,
        id: blocks.take_id(),
        stop: &AtomicBool::new(false),
    };
    let merged = merge.run().unwrap().unwrap();
    let sources: Vec<BlockId> = version.blocks.iter().map(|block| block.entry.id).collect();
    blocks
        .commit(&[merged.id], |state| {
            state.remove_blocks(&sources);
            state.add_blocks([merged.clone()]);
        })
        .unwrap();
    assert_eq!(blocks.remove_doomed(), 0, "somebody still reads them");
    drop(version);
    assert_eq!((blocks.remove_doomed(), n_samples(&blocks)), (2, 30_000));
    // Not named by any record: gone at the next start.
    write(&blocks, 0..10);
    drop(blocks);
    let blocks = open(store);
    assert_eq!(n_samples(&blocks), 30_000);
    assert_eq!(blocks.objects.list("blocks/").unwrap(), [merged.id.0.to_string()]);
    assert_eq!(blocks.objects.list("catalog/").unwrap().len(), 2);
}

#[test]
fn blocks_live_in_any_store_of_objects() {
    live_and_merge(&(Arc::new(InMemory::new()) as Arc<dyn ObjectStore>));
    let files: Arc<dyn Files> = Arc::new(FaultyFiles::new(1).process());
    files.create_dir(Path::new("/data")).unwrap();
    live_and_merge(&(Arc::new(FileStore::new(files, Path::new("/data"))) as Arc<dyn ObjectStore>));
}

#[test]
fn a_record_that_another_writer_has_put_is_not_overwritten() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let blocks = open(&store);
    let first = write(&blocks, 0..10);
    blocks
        .commit(&[first.id], |state| state.add_blocks([first.clone()]))
        .unwrap();
    let objects = Objects::new(Arc::clone(&store), Path::new("/data"));
    objects
        .put_new("catalog/00000000000000000002.record", b"another")
        .unwrap();
    let second = write(&blocks, 10..20);
    let error = blocks
        .commit(&[second.id], |state| state.add_blocks([second.clone()]))
        .unwrap_err();
    assert!(
        matches!(error, crate::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
    );
    assert_eq!(
        objects.get("catalog/00000000000000000002.record").unwrap(),
        "another"
    );
    assert_eq!(n_samples(&blocks), 10);
    assert_eq!(
        PutOptions::default().mode,
        PutMode::Overwrite,
        "and so it has to be said"
    );
}
