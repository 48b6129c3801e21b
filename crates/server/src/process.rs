//! The process as the operating system counts it. Linux; elsewhere everything is zero.

/// CPU time, memory, threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time, seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory, bytes.
    pub(crate) resident_bytes: u64,
    /// Threads.
    pub(crate) n_threads: u64,
}

impl Usage {
    /// As of now.
    pub(crate) fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self::parse(&stat).unwrap_or_default()
    }

    fn parse(stat: &str) -> Option<Self> {
        /// Linux's unit of CPU time, the same on every machine.
        const TICKS_PER_SECOND: f64 = 100.0;
        const PAGE_BYTES: u64 = 4096;
        // The name in parentheses may hold blanks; fields are counted behind it, from the third of the manual.
        let (_, fields) = stat.rsplit_once(')')?;
        let field = |number: usize| {
            fields
                .split_ascii_whitespace()
                .nth(number - 3)?
                .parse::<u64>()
                .ok()
        };
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
            resident_bytes: field(24)? * PAGE_BYTES,
            n_threads: field(20)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 1234 99 25 18446744073709551615";
        let usage = Usage::parse(stat).unwrap();
        assert_eq!(
            (usage.cpu_seconds, usage.resident_bytes, usage.n_threads),
            (2.0, 25 * 4096, 9)
        );
        assert!(Usage::parse("").is_none());
    }
}
