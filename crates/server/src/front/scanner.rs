//! Follows the messages on a connection and finds the bytes of request targets that the `http` crate refuses.
//!
//! The states mirror hyper's reading of HTTP/1.1. A state never looks back: what it has to remember of a line is
//! kept in [`Line`]. Everything unexpected ends in [`State::PassThrough`], for good: hyper either refuses such
//! bytes and closes, or reads them in a way the scanner does not vouch for.

/// Finds refused bytes, fed with a connection's bytes in order and in any pieces.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: State,
    line: Line,
    framing: Framing,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// In front of a request line; empty lines there are skipped, as hyper does.
    #[default]
    Start,
    Method,
    Target,
    /// Behind the target up to the end of the request line.
    Version,
    Header,
    /// Bytes left of a body with a content length.
    Body(u64),
    /// A chunk's size, so far; the flag says that at least one digit was there.
    ChunkSize(u64, bool),
    /// Blanks behind a chunk's size.
    ChunkBlanks(u64),
    /// A chunk's extension.
    ChunkExtension(u64),
    /// The line feed behind a chunk's size.
    ChunkSizeLf(u64),
    /// Bytes left of a chunk's data, the line end behind it included.
    ChunkData(u64),
    /// The two bytes behind a chunk's data.
    ChunkDataCr,
    ChunkDataLf,
    Trailer,
    /// Stopped: nothing is rewritten any more.
    PassThrough,
}

/// What the head read so far says about the body.
#[derive(Debug, Default, Clone, Copy)]
struct Framing {
    content_length: Option<u64>,
    chunked: bool,
    /// An upgrade, a tunnel, or framing on which readers may disagree.
    leave_alone: bool,
}

/// How far one state got.
enum Step {
    /// This many bytes are done and clean.
    Clean(usize),
    /// The byte at this position, also done, is refused.
    Refused(usize),
}

impl Scanner {
    /// The position of the next refused byte, or `None` when there is none up to the end. The scanner has then
    /// seen everything up to and including that byte: the next call starts behind it.
    pub(super) fn next_refused(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut position = 0;
        while let Some(rest) = bytes.get(position..)
            && !rest.is_empty()
        {
            match self.step(rest) {
                Step::Clean(n_bytes) => position += n_bytes,
                Step::Refused(idx) => return Some(position + idx),
            }
        }
        None
    }

    /// Advances within one state, or to another without taking a byte.
    fn step(&mut self, rest: &[u8]) -> Step {
        match self.state {
            State::PassThrough => Step::Clean(rest.len()),
            State::Start => self.start(rest),
            State::Method => self.method(rest),
            State::Target => self.target(rest),
            State::Version => self.lines(rest, Self::end_of_version),
            State::Header => self.lines(rest, Self::end_of_header),
            State::Body(n_left) => self.body(rest, n_left),
            State::ChunkData(n_left) => self.chunk_data(rest, n_left),
            State::Trailer => self.lines(rest, Self::end_of_trailer),
            _ => self.chunk_framing(rest),
        }
    }

    fn start(&mut self, rest: &[u8]) -> Step {
        match rest.first() {
            Some(b'\r' | b'\n') => Step::Clean(1),
            _ => {
                self.line.clear();
                self.framing = Framing::default();
                self.state = State::Method;
                Step::Clean(0)
            }
        }
    }

    fn method(&mut self, rest: &[u8]) -> Step {
        let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        let Some(end) = end else {
            self.line.push(rest);
            return Step::Clean(rest.len());
        };
        self.line.push(rest.split_at(end).0);
        self.framing.leave_alone = self.line.is("CONNECT");
        self.state = match rest.get(end) {
            Some(b' ') if self.line.is_method() => State::Target,
            _ => State::PassThrough,
        };
        self.line.clear();
        Step::Clean(end + 1)
    }

    fn target(&mut self, rest: &[u8]) -> Step {
        let mut classes = rest.iter().map(|byte| Class::of(*byte)).enumerate();
        let Some((idx, class)) = classes.find(|(_, class)| *class != Class::Plain) else {
            return Step::Clean(rest.len());
        };
        match class {
            Class::Refused => return Step::Refused(idx),
            Class::Space => self.state = State::Version,
            Class::Control | Class::Plain => self.state = State::PassThrough,
        }
        Step::Clean(idx + 1)
    }

    /// Gathers a line and hands it over at its end.
    fn lines(&mut self, rest: &[u8], at_end: fn(&mut Self)) -> Step {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.line.push(rest);
            return Step::Clean(rest.len());
        };
        self.line.push(rest.split_at(end).0);
        at_end(self);
        self.line.clear();
        Step::Clean(end + 1)
    }

    fn end_of_version(&mut self) {
        self.state = if self.line.is("HTTP/1.1") || self.line.is("HTTP/1.0") {
            State::Header
        } else {
            State::PassThrough
        };
    }

    fn end_of_header(&mut self) {
        if self.line.is("") {
            self.state = self.framing.body();
        } else {
            self.framing.note(&self.line);
        }
    }

    fn body(&mut self, rest: &[u8], n_left: u64) -> Step {
        let (n_taken, n_left) = take(rest, n_left);
        self.state = if n_left == 0 {
            State::Start
        } else {
            State::Body(n_left)
        };
        Step::Clean(n_taken)
    }

    fn chunk_data(&mut self, rest: &[u8], n_left: u64) -> Step {
        let (n_taken, n_left) = take(rest, n_left);
        self.state = if n_left == 0 {
            State::ChunkDataCr
        } else {
            State::ChunkData(n_left)
        };
        Step::Clean(n_taken)
    }

    /// The bytes around chunks, one at a time.
    fn chunk_framing(&mut self, rest: &[u8]) -> Step {
        let Some(byte) = rest.first() else {
            return Step::Clean(0);
        };
        self.state = match (self.state, byte) {
            (State::ChunkSize(size, true) | State::ChunkBlanks(size), b' ' | b'\t') => {
                State::ChunkBlanks(size)
            }
            (State::ChunkSize(size, true) | State::ChunkBlanks(size), b';') => State::ChunkExtension(size),
            (
                State::ChunkSize(size, true) | State::ChunkBlanks(size) | State::ChunkExtension(size),
                b'\r',
            ) => State::ChunkSizeLf(size),
            (State::ChunkSize(size, _), digit) => longer_size(size, *digit),
            (State::ChunkExtension(size), other) if *other != b'\n' => State::ChunkExtension(size),
            (State::ChunkSizeLf(0), b'\n') => State::Trailer,
            (State::ChunkSizeLf(size), b'\n') => State::ChunkData(size),
            (State::ChunkDataCr, b'\r') => State::ChunkDataLf,
            (State::ChunkDataLf, b'\n') => State::ChunkSize(0, false),
            _ => State::PassThrough,
        };
        self.line.clear();
        Step::Clean(1)
    }

    fn end_of_trailer(&mut self) {
        if !self.line.ends_with_cr() {
            self.state = State::PassThrough;
        } else if self.line.is("") {
            self.state = State::Start;
        }
    }
}

/// How many of `rest` belong to the `n_left`, and how many are then still to come.
fn take(rest: &[u8], n_left: u64) -> (usize, u64) {
    let n_taken = usize::try_from(n_left).map_or(rest.len(), |n_left| n_left.min(rest.len()));
    (n_taken, n_left - n_taken as u64)
}

/// One more hex digit of a chunk's size.
fn longer_size(size: u64, digit: u8) -> State {
    let digit = char::from(digit).to_digit(16).map(u64::from);
    match (size.checked_mul(16), digit) {
        (Some(shifted), Some(digit)) => State::ChunkSize(shifted | digit, true),
        _ => State::PassThrough,
    }
}

impl Framing {
    /// Takes in one header line.
    fn note(&mut self, line: &Line) {
        let Some((name, value)) = line.header() else {
            self.leave_alone = true;
            return;
        };
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("content-length") {
            // hyper takes a second equal length; others might not.
            self.leave_alone |= self.content_length.is_some() || line.is_cut();
            self.content_length = digits(value);
            self.leave_alone |= self.content_length.is_none();
        } else if is("transfer-encoding") {
            let chunked = value.eq_ignore_ascii_case(b"chunked");
            self.leave_alone |= self.chunked || !chunked || line.is_cut();
            self.chunked = true;
        } else if is("upgrade") {
            self.leave_alone = true;
        }
    }

    /// The state behind the head.
    fn body(&self) -> State {
        match (self.leave_alone, self.chunked, self.content_length) {
            (true, _, _) | (_, true, Some(_)) => State::PassThrough,
            (_, true, None) => State::ChunkSize(0, false),
            (_, _, None | Some(0)) => State::Start,
            (_, _, Some(n_bytes)) => State::Body(n_bytes),
        }
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// The beginning of a line: enough to know the headers that matter, whatever follows.
#[derive(Debug)]
struct Line {
    kept: [u8; LINE_KEPT_BYTES],
    n_kept: usize,
    n_bytes: usize,
    last: u8,
}

const LINE_KEPT_BYTES: usize = 96;

impl Default for Line {
    fn default() -> Self {
        Self {
            kept: [0; LINE_KEPT_BYTES],
            n_kept: 0,
            n_bytes: 0,
            last: 0,
        }
    }
}

impl Line {
    fn clear(&mut self) {
        (self.n_kept, self.n_bytes, self.last) = (0, 0, 0);
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.kept.get_mut(self.n_kept..).unwrap_or_default();
        let n_more = bytes.len().min(room.len());
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.n_kept += n_more;
        self.n_bytes += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// What is kept, without the carriage return of the line's end.
    fn text(&self) -> &[u8] {
        let kept = self.kept.get(..self.n_kept).unwrap_or_default();
        match kept {
            [text @ .., b'\r'] if !self.is_cut() => text,
            _ => kept,
        }
    }

    fn is(&self, text: &str) -> bool {
        !self.is_cut() && self.text() == text.as_bytes()
    }

    /// True when this can be the name of a method: no other protocol starts with letters and a space.
    fn is_method(&self) -> bool {
        !self.is_cut() && self.n_kept > 0 && self.text().iter().all(u8::is_ascii_alphabetic)
    }

    fn is_cut(&self) -> bool {
        self.n_bytes > self.n_kept
    }

    fn ends_with_cr(&self) -> bool {
        self.last == b'\r'
    }

    /// Name and value; `None` when this is no plain header line. A name too long to be kept has no value.
    fn header(&self) -> Option<(&[u8], &[u8])> {
        let text = self.text();
        if text.first().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        match text.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (name, rest) = text.split_at(colon);
                let plain = !name.is_empty() && !name.iter().any(u8::is_ascii_whitespace);
                plain.then(|| (name, rest.strip_prefix(b":").unwrap_or(rest).trim_ascii()))
            }
            None if self.is_cut() => Some((text, &[])),
            None => None,
        }
    }
}

/// What a byte is in a request target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    /// Not allowed in a URI by RFC 3986, and refused by the `http` crate in a path or a query. `#` would start a
    /// fragment, which a request target has none of; the high bytes are refused when they are no UTF-8.
    Refused,
    Space,
    Control,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b' ' => Self::Space,
            0..b' ' | 0x7f => Self::Control,
            b'"' | b'#' | b'<' | b'>' | b'`' | 0x80.. => Self::Refused,
            _ => Self::Plain,
        }
    }
}
