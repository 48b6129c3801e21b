//! Manners of the threads that queries run on: whoever writes comes first.
//!
//! A sample on its way to its acknowledgement passes several threads, each of which works for some hundred microseconds.
//! On a machine whose cores are all busy with queries, each of them would wait until the kernel takes a core from a
//! query: with Linux and its usual 250 ticks per second some four milliseconds, several times per request. Two things
//! keep that wait short:
//!
//! - Query threads have a lower priority than all other threads of the process. Where nobody else wants the cores, this
//!   changes nothing.
//! - A query offers its core to others every half millisecond ([`give_way`]). Priority alone does not do it: what wakes
//!   up does not always replace at once what is running, however low that is.

use std::cell::Cell;
use std::time::{Duration, Instant};

use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

/// By how much query threads are nicer than the others of the process: they get a third of what another thread gets when both
/// want the same core all the time. More would starve queries where a machine has other work, too.
const NICER: i32 = 5;

/// The nicest value that there is.
const NICE_MAX: i32 = 19;

/// After so much work a thread offers its core.
const WORK_MAX: Duration = Duration::from_micros(500);

thread_local! {
    /// When this thread last offered its core; `None` on a thread that is no query thread.
    static OFFERED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// To be called by a thread before it runs its first query. Where the system does not let it have another priority, it
/// keeps its own.
pub(crate) fn begin() {
    if OFFERED.get().is_some() {
        return;
    }
    // A process that was started with `nice` is not to have query threads that are less nice than itself.
    let nice = (nice_value().unwrap_or(0) + NICER).min(NICE_MAX);
    let priority = ThreadPriorityValue::try_from(priority_of(nice)).map(ThreadPriority::Crossplatform);
    if let Err(error) = set_current_thread_priority(priority.unwrap_or(ThreadPriority::Min)) {
        tracing::debug!(?error, "a query thread keeps the priority of the process");
    }
    OFFERED.set(Some(Instant::now()));
}

/// How nice this thread is: field 19 of `proc_pid_stat(5)`, counted after the name, which may contain anything. Nothing where
/// there is no such file.
fn nice_value() -> Option<i32> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

/// A nice value on the scale of the library, from 0 for 19 to 99 for -20: the middle of what it takes for that value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the scale ends at 99"
)]
fn priority_of(nice: i32) -> u8 {
    (99.0 * (18.5 - f64::from(nice)) / 39.0).clamp(0.0, 99.0) as u8
}

/// Offers the core to whoever waits for it, if this is a query thread that has worked for a while. Looks at the clock,
/// which costs about 30 ns.
pub(crate) fn give_way() {
    let Some(offered) = OFFERED.get() else { return };
    if offered.elapsed() > WORK_MAX {
        std::thread::yield_now();
        OFFERED.set(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_query_thread_is_nicer_than_the_others() {
        let own = nice_value().expect("readable");
        // Once is enough, and a thread of a thread that is nice already is nicer.
        let of_threads = std::thread::spawn(|| {
            begin();
            begin();
            let of_next = std::thread::spawn(|| {
                begin();
                nice_value()
            });
            [nice_value(), of_next.join().expect("no panic")]
        });
        let of_threads = of_threads.join().expect("no panic");
        let nicer = |by: i32| Some((own + by).min(NICE_MAX));
        assert_eq!(of_threads, [nicer(NICER), nicer(2 * NICER)]);
        assert_eq!(nice_value(), Some(own));
    }

    #[test]
    fn only_query_threads_that_have_worked_offer_their_core() {
        give_way();
        assert_eq!(OFFERED.get(), None);
        begin();
        let begun = OFFERED.get();
        std::thread::sleep(2 * WORK_MAX);
        give_way();
        assert!(begun.is_some() && OFFERED.get() > begun);
        OFFERED.set(None);
    }
}
