//! Runs against a list of what was put into them.

use model::histogram::packed::pack;
use model::histogram::{Bounds, Span};
use proptest::prelude::*;

use super::*;

/// Counts of a histogram and its hint.
type Expected = (TimestampMs, Vec<u64>, CounterResetHint);

fn layout(form: CountForm, n_buckets: u32) -> Arc<HistogramLayout> {
    let span = |length: u32| Span { offset: -3, length };
    let sides = ([span(n_buckets - 1)], [span(1)]);
    Arc::new(HistogramLayout::new(form, Bounds::default(), &sides.0, &sides.1).unwrap())
}

fn packed(layout: &Arc<HistogramLayout>, counts: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let histogram = NativeHistogram {
        layout,
        hint: CounterResetHint::Unknown,
        sum: 0.0,
        counts,
    };
    pack(&histogram, &mut bytes);
    bytes
}

fn visible(hint: CounterResetHint, continues: bool) -> CounterResetHint {
    Mark { hint, continues }.visible()
}

/// A histogram that differs from the one before it: by how much which count, and when.
#[derive(Debug, Clone)]
struct Step {
    changes: Vec<(usize, i64)>,
    step_ms: i64,
    hint: CounterResetHint,
    may_continue: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![6 => 1..5_i64, 2 => 0..100_000_i64, 1 => -3..0_i64, 1 => any::<i64>()];
    let changes = prop::collection::vec((0..1_000_usize, amount), 0..8);
    let step_ms = prop_oneof![9 => Just(15_000_i64), 1 => 1..100_000_i64];
    let hint = prop_oneof![
        9 => Just(CounterResetHint::Unknown),
        1 => Just(CounterResetHint::NotReset),
        1 => Just(CounterResetHint::Gauge),
    ];
    (changes, step_ms, hint, any::<u8>()).prop_map(|(changes, step_ms, hint, chance)| Step {
        changes,
        step_ms,
        hint,
        may_continue: chance % 8 != 0,
    })
}

struct Filled {
    run: Run,
    tail: Tail,
    expected: Vec<Expected>,
}

/// A run of these steps, of which the newest histogram is what it should be after each.
fn filled(layout: &Arc<HistogramLayout>, steps: &[Step]) -> Filled {
    let (mut entry, mut words) = (vec![7; 3], Vec::new());
    let mut counts = vec![70; layout.n_counts()];
    let mut timestamp_ms = 1_700_000_000_000;
    let first = PackedHistogram {
        layout,
        hint: CounterResetHint::Unknown,
        sum: 0.0,
        bytes: &packed(layout, &counts),
    };
    let (mut run, mut tail) = Run::begin(Arc::clone(layout), timestamp_ms, first, true, &mut entry);
    let mut expected = vec![(timestamp_ms, counts.clone(), CounterResetHint::NotReset)];
    for step in steps {
        let before = counts.clone();
        for (place, amount) in &step.changes {
            let n_counts = counts.len();
            let count = &mut counts[place % n_counts];
            *count = count.wrapping_add_signed(*amount);
        }
        timestamp_ms += step.step_ms;
        let bytes = packed(layout, &counts);
        let histogram = PackedHistogram {
            bytes: &bytes,
            hint: step.hint,
            ..first
        };
        let continues = match step.may_continue {
            true => Continues::IfNoneFell,
            false => Continues::Known(false),
        };
        run.push(&mut tail, timestamp_ms, histogram, continues, &mut entry);
        let continues = step.may_continue && !any_fell(layout.form(), &before, &counts);
        expected.push((timestamp_ms, counts.clone(), visible(step.hint, continues)));
        let (newest, mark) = run.newest(&tail, &mut words).unwrap();
        assert_eq!(newest.counts, counts);
        assert_eq!(mark.visible(), visible(step.hint, continues));
    }
    Filled { run, tail, expected }
}

fn read_from(run: &Run, start_ms: TimestampMs) -> Vec<Expected> {
    let mut reader = RunReader::new(run);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_from(start_ms).unwrap() {
        let counts = reader.counts().to_vec();
        assert_eq!(packed(&run.layout, &counts), reader.packed_counts());
        found.push((entry.timestamp_ms, counts, entry.mark.visible()));
    }
    found
}

proptest! {
    #[test]
    fn a_run_is_what_was_put_into_it(
        is_float in any::<bool>(),
        n_buckets in 2..60_u32,
        steps in prop::collection::vec(step(), 0..RUN_LEN_MAX as usize - 1),
        (from, broken) in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let form = if is_float { CountForm::Float } else { CountForm::Integer };
        let layout = layout(form, n_buckets);
        let Filled { mut run, mut tail, mut expected } = filled(&layout, &steps);
        prop_assert_eq!(run.len as usize, expected.len());
        prop_assert_eq!(&read_from(&run, TimestampMs::MIN), &expected);
        let from = from.index(expected.len());
        prop_assert_eq!(&read_from(&run, expected[from].0 - 1), &expected[from..]);

        let broken = broken.index(expected.len());
        prop_assert_eq!(run.break_at(expected[broken].0 - 1).unwrap(), Some(expected[broken].0));
        if expected[broken].2 != CounterResetHint::Gauge {
            expected[broken].2 = CounterResetHint::Unknown;
        }
        if broken + 1 == expected.len() {
            tail.break_off();
        }
        let (_, mark) = run.newest(&tail, &mut Vec::new()).unwrap();
        prop_assert_eq!(mark.visible(), expected[expected.len() - 1].2);
        let n_bytes = run.heap_bytes();
        run.close();
        prop_assert!(run.heap_bytes() <= n_bytes + 64, "{} of {n_bytes}", run.heap_bytes());
        prop_assert_eq!(&read_from(&run, TimestampMs::MIN), &expected);
        prop_assert_eq!(run.break_at(run.last_ms + 1).unwrap(), None);
    }
}

#[test]
fn what_is_open_is_sealed_before_it_is_long() {
    let layout = layout(CountForm::Integer, 40);
    let step = Step {
        changes: Vec::new(),
        step_ms: 15_000,
        hint: CounterResetHint::Unknown,
        may_continue: true,
    };
    let mut steps = vec![step; 127];
    for (number, step) in steps.iter_mut().enumerate() {
        step.changes = (0..5).map(|bucket| (number * 7 + bucket * 3, 1)).collect();
    }
    let Filled { run, expected, .. } = filled(&layout, &steps);
    assert!(run.open.capacity() <= OPEN_BYTES_MAX);
    assert!(run.sealed.len() > 2);
    assert_eq!(read_from(&run, TimestampMs::MIN), expected);
}
