//! Flushing, merging, deleting, retention and restarts against a sorted map; and each of them cut at every operation.

use model::Matcher;
use testkit::{Chance, Fault};

use super::*;
use crate::store::BlockConfig;

const WINDOW_MS: i64 = 60_000;
const LATE_MS: i64 = 90_000;

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.out_of_order_window_ms = 2 * LATE_MS;
    world.config.segment_bytes = 4 << 10;
    world.config.blocks = BlockConfig {
        window_ms: WINDOW_MS,
        flush_interval_ms: i64::MAX,
        ..BlockConfig::default()
    };
    world
}

/// Waits for something asked of the store.
fn wait<T: Send + 'static>(ask: impl FnOnce(crate::Done<T>) -> Result<(), Error>) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |result| drop(sender.send(result))))?;
    receiver.recv().unwrap_or(Err(Error::Closed))
}

fn flush(store: &Store) -> Result<crate::FlushOutcome, Error> {
    wait(|done| store.flush(done))
}

/// The series of a number: histogram lanes and plain ones, of pods that come and go.
fn series_labels(number: usize) -> Vec<(&'static str, String)> {
    let pod = format!("pod-{}", number / 4);
    match number % 4 {
        0 => vec![("__name__", "up".into()), ("pod", pod)],
        1 => vec![("__name__", "x_count".into()), ("pod", pod)],
        part => vec![
            ("__name__", "x_bucket".into()),
            ("le", format!("{part}.0")),
            ("pod", pod),
        ],
    }
}

fn labels_of(number: usize) -> Labels {
    Labels::from_pairs(series_labels(number)).unwrap()
}

/// Appends samples of numbered series, native histograms among them; what was stored.
fn append_numbered(store: &Store, samples: &[(usize, i64, f64)]) -> Result<Vec<(String, i64, u64)>, Error> {
    let session = store.session();
    let mut batch = SampleBatch::default();
    let mut prints = Vec::new();
    for (number, timestamp_ms, value) in samples {
        let series = try_register(store, &labels_of(*number))?;
        prints.push(push(&mut batch, series, *timestamp_ms, *value));
    }
    let answer = send(store, batch);
    drop(session);
    let outcome = answer.recv().unwrap()?;
    let is_taken = |position: usize| {
        outcome
            .refused
            .iter()
            .all(|refusal| refusal.sample_idx != position)
    };
    let taken = samples
        .iter()
        .zip(prints)
        .enumerate()
        .filter(|(position, _)| is_taken(*position));
    Ok(taken
        .map(|(_, ((number, at, _), print))| (labels_of(*number).to_string(), *at, print))
        .collect())
}

/// The first value of a time stays.
fn learn(model: &mut Content, stored: Vec<(String, i64, u64)>) {
    for (series, timestamp_ms, bits) in stored {
        model
            .entry(series)
            .or_default()
            .entry(timestamp_ms)
            .or_insert(bits);
    }
}

fn forget(model: &mut Content, is_gone: impl Fn(&str, i64) -> bool) {
    model.retain(|series, samples| {
        samples.retain(|timestamp_ms, _| !is_gone(series, *timestamp_ms));
        !samples.is_empty()
    });
}

fn random_samples(chance: &mut Chance, now_ms: i64) -> Vec<(usize, i64, f64)> {
    // Pods come and go: one set of them at a time.
    let first_pod = (now_ms - NOW_MS) as usize / 400_000;
    let sample = |chance: &mut Chance| {
        let late_ms = if chance.one_in(4) {
            chance.index(LATE_MS as usize) as i64
        } else {
            0
        };
        let value = match chance.index(8) {
            0 => f64::from_bits(0xfff8_0000_dead_beef),
            1 => model::stale_nan(),
            2 => 0.1 * chance.index(10) as f64,
            _ => chance.index(100) as f64,
        };
        let number = 4 * first_pod + chance.index(12);
        (number, (now_ms - late_ms) / 1_000 * 1_000, value)
    };
    (0..chance.index(40)).map(|_| sample(chance)).collect()
}

fn check_model(seed: u64, n_steps: usize) {
    let mut world = world(seed);
    world.config.blocks.retention_ms = 40 * WINDOW_MS;
    let chance = &mut Chance::from_seed(seed);
    let mut model = Content::new();
    let (mut store, _) = world.open();
    let mut now_ms = NOW_MS;
    for step in 0..n_steps {
        now_ms += chance.index(20_000) as i64;
        world.clock.advance(now_ms - world.clock_ms());
        let what = chance.index(24);
        match what {
            0 => drop(flush(&store).unwrap()),
            1 | 2 => {
                let before_ms = (now_ms - LATE_MS).div_euclid(WINDOW_MS) * WINDOW_MS;
                wait(|done| store.flush_before(Some(before_ms), done)).unwrap();
            }
            3 => {
                wait(|done| store.tidy(done)).unwrap();
                let kept = content(&store);
                let oldest_ms = now_ms - world.config.blocks.retention_ms;
                forget(&mut model, |series, at| {
                    at < oldest_ms && !kept.get(series).is_some_and(|samples| samples.contains_key(&at))
                });
            }
            4 => {
                let (from, pod) = (now_ms - chance.index(300_000) as i64, chance.index(4));
                let to = from + chance.index(100_000) as i64;
                let matcher = Matcher::equal("pod", format!("pod-{pod}"));
                wait(|done| store.delete(vec![vec![matcher]], from, to, done)).unwrap();
                let label = format!("pod=\"pod-{pod}\"");
                forget(&mut model, |series, at| {
                    series.contains(&label) && (from..=to).contains(&at)
                });
            }
            5 => drop(wait(|done| store.clean(done)).unwrap()),
            6 => {
                store.close().unwrap();
                drop(store);
                if chance.one_in(2) {
                    world.files.crash();
                }
                let report;
                (store, report) = world.open();
                assert_eq!(report.damaged, [], "seed {seed} step {step}");
            }
            _ => learn(
                &mut model,
                append_numbered(&store, &random_samples(chance, now_ms)).unwrap(),
            ),
        }
        if what < 7 {
            assert_eq!(content(&store), model, "seed {seed} step {step} after {what}");
        }
    }
    assert_eq!(content(&store), model, "seed {seed}");
    assert_eq!(store.stats().blocks.quarantined, 0);
}

#[test]
fn a_store_that_flushes_merges_deletes_and_restarts_holds_what_a_sorted_map_holds() {
    let n_seeds = std::env::var("MESHTIDE_MODEL_SEEDS").map_or(6, |text| text.parse().unwrap());
    for seed in 0..n_seeds {
        check_model(seed, 120);
    }
}

/// What is known of a life that may end at any operation.
#[derive(Default)]
struct Life {
    /// What was acknowledged and must be there.
    certain: Content,
    /// What was sent.
    sent: Content,
    /// Times whose deletion was asked for, and acknowledged.
    deletion_asked: bool,
    deletion_done: bool,
    /// Samples before it may be dropped, and were.
    expiry_asked_ms: Option<i64>,
    expiry_done_ms: Option<i64>,
}

/// How long blocks are kept in a life that may end at any operation.
const RETENTION_MS: i64 = 10_000_000;

const DELETED: std::ops::RangeInclusive<i64> = NOW_MS + 20_000..=NOW_MS + 40_000;

impl Life {
    /// Everything that can happen to blocks, once; ends early when the machine stops.
    fn live(&mut self, store: &Store, world: &World) -> Result<(), Error> {
        self.append(store, 0, 0..60)?;
        flush(store)?;
        self.append(store, 4, 60..130)?;
        // Late for what is in blocks.
        self.append(store, 8, 30..50)?;
        wait(|done| store.flush_before(Some(NOW_MS + 120_000), done))?;
        self.append(store, 0, 130..140)?;
        world.clock.advance(1_000_000);
        wait(|done| store.tidy(done))?;
        self.deletion_asked = true;
        let matcher = Matcher::equal("pod", "pod-0");
        wait(|done| store.delete(vec![vec![matcher]], *DELETED.start(), *DELETED.end(), done))?;
        self.deletion_done = true;
        self.append(store, 0, 140..150)?;
        wait(|done| store.clean(done))?;
        flush(store)?;
        wait(|done| store.tidy(done))?;
        // Of two days the first is too old then.
        self.append(store, 0, 700..710)?;
        flush(store)?;
        let expiry_ms = NOW_MS + 600_000;
        world.clock.advance(expiry_ms + RETENTION_MS - world.clock_ms());
        self.expiry_asked_ms = Some(expiry_ms);
        wait(|done| store.tidy(done))?;
        self.expiry_done_ms = self.expiry_asked_ms;
        Ok(())
    }

    fn append(&mut self, store: &Store, first: usize, seconds: std::ops::Range<i64>) -> Result<(), Error> {
        let seconds: Vec<i64> = seconds.step_by(5).collect();
        for part in seconds.chunks(6) {
            let samples: Vec<_> = part
                .iter()
                .flat_map(|second| {
                    (first..first + 4)
                        .map(move |number| (number, NOW_MS + second * 1_000, 1.5 * *second as f64))
                })
                .collect();
            let sent = samples
                .iter()
                .map(|(number, at, value)| (labels_of(*number).to_string(), *at, print_of(*value)));
            learn(&mut self.sent, sent.collect());
            let stored = append_numbered(store, &samples)?;
            assert_eq!(stored.len(), samples.len());
            learn(&mut self.certain, stored);
        }
        Ok(())
    }

    fn check(&self, found: &Content, place: &str) {
        let is_deleted = |series: &str, at: i64| series.contains("pod-0") && DELETED.contains(&at);
        let mut certain = self.certain.clone();
        if self.deletion_asked {
            forget(&mut certain, is_deleted);
        }
        if let Some(asked_ms) = self.expiry_asked_ms {
            forget(&mut certain, |_, at| at < asked_ms);
        }
        for (series, samples) in &certain {
            for (at, bits) in samples {
                let held = found.get(series).and_then(|samples| samples.get(at));
                assert_eq!(held, Some(bits), "{place}: {series} at {at} is missing");
            }
        }
        assert_contains(&self.sent, found);
        if let Some(done_ms) = self.expiry_done_ms {
            let oldest_ms = found.values().flat_map(BTreeMap::keys).min();
            assert!(
                oldest_ms.is_some_and(|oldest_ms| *oldest_ms >= done_ms),
                "{place}: {oldest_ms:?} is older than the retention"
            );
        }
        if self.deletion_done {
            let mut left = found.clone();
            forget(&mut left, |series, at| !is_deleted(series, at));
            assert!(left.is_empty(), "{place}: deleted samples are back");
        }
    }
}

/// How many operations a life takes.
fn n_operations() -> u64 {
    let world = crash_world(1);
    let (store, _) = world.open();
    let before = world.files.n_operations();
    Life::default().live(&store, &world).unwrap();
    store.close().unwrap();
    world.files.n_operations() - before
}

fn crash_world(seed: u64) -> World {
    let mut world = world(seed);
    // The out-of-order window ends where the clock is moved to.
    world.config.out_of_order_window_ms = 200_000;
    world.config.blocks.retention_ms = RETENTION_MS;
    world
}

#[test]
fn whatever_operation_is_the_last_nothing_acknowledged_is_missing_or_doubled() {
    let n_operations = n_operations();
    assert!(n_operations > 60, "{n_operations} operations");
    for operation in 0..n_operations + 2 {
        let world = crash_world(operation);
        let (store, _) = world.open();
        world
            .files
            .fail_at(world.files.n_operations() + operation, Fault::Stop);
        let mut life = Life::default();
        let lived = life.live(&store, &world);
        drop(store.close());
        drop(store);
        world.files.crash();
        let place = format!("operation {operation} of {n_operations}, {lived:?}");
        let (store, report) = world.open();
        assert_eq!(report.damaged, [], "{place}");
        life.check(&content(&store), &place);
        // And it goes on from there.
        life.append(&store, 12, 150..160).unwrap();
        flush(&store).unwrap();
        wait(|done| store.tidy(done)).unwrap();
        life.check(&content(&store), &place);
        store.close().unwrap();
        drop(store);
        let (store, _) = world.open();
        life.check(&content(&store), &place);
        let version = store.shared.blocks.current();
        let folders = crate::blocks::files::list_blocks(&store.shared.blocks.objects).unwrap();
        let named: Vec<_> = version.blocks.iter().map(|block| block.entry.id).collect();
        assert_eq!(folders, named, "{place}: nothing is left over");
    }
}

#[test]
fn an_error_at_any_operation_is_told_and_got_over() {
    let n_operations = n_operations();
    for operation in (0..n_operations).step_by(3) {
        let world = crash_world(operation);
        let (store, _) = world.open();
        world
            .files
            .fail_at(world.files.n_operations() + operation, Fault::Full);
        let mut life = Life::default();
        let lived = life.live(&store, &world);
        let place = format!("operation {operation} of {n_operations}, {lived:?}");
        append_when_healed(
            &store,
            &[(register_when_healed(&store, UP), NOW_MS + 160_000, 1.0)],
        );
        flush(&store).unwrap();
        let mut found = content(&store);
        found.remove(&labels(UP).to_string());
        life.check(&found, &place);
        drop(store);
        world.files.crash();
        let mut found = content(&world.open().0);
        found.remove(&labels(UP).to_string());
        life.check(&found, &place);
    }
}

#[test]
fn a_sample_that_contradicts_a_block_is_taken_and_not_seen_and_the_first_one_stays_for_good() {
    let world = world(1);
    let (store, _) = world.open();
    let first = append_numbered(&store, &[(0, NOW_MS, 1.0), (0, NOW_MS + 5_000, 2.0)]).unwrap();
    let kept = first[0].2;
    let mut model = Content::new();
    learn(&mut model, first);
    // In the head the contradiction is known, and refused.
    assert_eq!(append_numbered(&store, &[(0, NOW_MS, 7.0)]).unwrap(), []);
    flush(&store).unwrap();
    let taken = append_numbered(&store, &[(0, NOW_MS, 7.0), (0, NOW_MS + 1_000, 3.0)]).unwrap();
    assert_eq!(taken.len(), 2, "nobody looks into blocks");
    learn(&mut model, taken);
    assert_eq!(model[&labels_of(0).to_string()][&NOW_MS], kept);
    assert_eq!(content(&store), model, "in the head");
    drop(store);
    world.files.crash();
    let (store, _) = world.open();
    assert_eq!(content(&store), model, "after a restart");
    flush(&store).unwrap();
    assert_eq!(content(&store), model, "in a block of its own");
    world.clock.advance(1_000_000);
    wait(|done| store.tidy(done)).unwrap();
    assert_eq!(store.stats().blocks.blocks, 1);
    assert_eq!(content(&store), model, "merged");
}

#[test]
fn after_a_flush_the_log_the_head_and_the_catalog_are_empty() {
    let world = world(1);
    let (store, _) = world.open();
    let mut life = Life::default();
    life.append(&store, 0, 0..60).unwrap();
    let before = content(&store);
    let outcome = flush(&store).unwrap();
    assert_eq!(
        outcome.samples,
        before.values().map(|samples| samples.len() as u64).sum::<u64>()
    );
    let stats = store.stats();
    assert_eq!(
        (stats.head.n_samples, stats.head.n_streams, stats.catalog.n_series),
        (0, 0, 0)
    );
    assert_eq!(store.resolver().len(), 0);
    assert!(world.segments().is_empty());
    assert_eq!(content(&store), before);
    assert_eq!(store.label_values("pod", TimeRange::ALL).unwrap().len(), 1);
    // The same series come back under other ids, then, with the log trimmed, under the old ones.
    for round in 0..20 {
        life.append(&store, 0, 60 + 10 * round..70 + 10 * round).unwrap();
        flush(&store).unwrap();
    }
    assert!(
        store.registry.catalog().read().n_stream_ids() < 8,
        "ids are used again"
    );
    life.check(&content(&store), "after all");
}

#[test]
fn a_query_that_began_before_a_flush_reads_what_it_chose() {
    let world = world(1);
    let (store, _) = world.open();
    let mut life = Life::default();
    life.append(&store, 0, 0..60).unwrap();
    let selection = store.select(&[], TimeRange::ALL).unwrap();
    let (told, flushed) = mpsc::channel();
    store
        .flush(Box::new(move |result| told.send(result.unwrap()).unwrap()))
        .unwrap();
    // Durable, and told so, though the head still holds it for the reader.
    flushed.recv().unwrap();
    let mut buffer = StreamBuffer::default();
    let n_read: usize = (0..selection.streams().len())
        .map(|stream_idx| {
            selection.read(stream_idx, TimeRange::ALL, &mut buffer).unwrap();
            buffer.lanes().len() * buffer.timestamps_ms.len()
        })
        .sum();
    assert_eq!(n_read as u64, store.stats().head.n_samples);
    assert_eq!(selection.label_column("pod").value(0), "pod-0");
    drop(selection);
    while store.stats().head.n_samples > 0 {
        std::thread::yield_now();
    }
    life.check(&content(&store), "after the reader");
}

#[test]
fn a_damaged_block_is_left_out_with_a_warning_and_everything_else_works() {
    let world = world(1);
    let (store, _) = world.open();
    let mut life = Life::default();
    life.append(&store, 0, 0..200).unwrap();
    flush(&store).unwrap();
    let all = content(&store);
    drop(store);
    let dir = Path::new("/data/blocks");
    let folder = dir.join(&world.files.list(dir).unwrap()[1]);
    let file = folder.join("samples.parquet");
    world.files.flip_bit(&file, 800);
    let inspection = crate::inspect(
        &(Arc::new(world.files.process()) as Arc<dyn Files>),
        Path::new("/data"),
    )
    .unwrap();
    assert_eq!(inspection.damaged.len(), 1, "{inspection:?}");
    let (store, _) = world.open();
    let found = content(&store);
    assert!(!found.is_empty() && found != all);
    assert_contains(&all, &found);
    assert_eq!(store.stats().blocks.quarantined, 1);
    let warnings = store.select(&[], TimeRange::ALL).unwrap().warnings();
    assert!(warnings[0].contains("samples from"), "{warnings:?}");
    life.append(&store, 0, 200..210).unwrap();
    flush(&store).unwrap();
    wait(|done| store.tidy(done)).unwrap();
}

#[test]
fn a_flush_that_left_streams_out_is_made_good_by_the_next() {
    let world = world(1);
    let (store, _) = world.open();
    let mut life = Life::default();
    life.append(&store, 0, 0..60).unwrap();
    // As programs left it whose blocks could not hold native histograms.
    let partial = crate::blocks::Watermark {
        segments_below: 2,
        before_ms: NOW_MS,
        except: vec![0],
    };
    let noted = store
        .shared
        .blocks
        .commit(&[], |state| state.note_flushed(partial, 1));
    assert_eq!(noted.unwrap().state.flushed.len(), 1);
    store.close().unwrap();
    drop(store);
    let (store, _) = world.open();
    life.append(&store, 0, 60..120).unwrap();
    life.check(&content(&store), "before");
    flush(&store).unwrap();
    assert!(world.segments().is_empty());
    life.check(&content(&store), "after");
}
