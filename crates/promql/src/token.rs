//! The tokens of PromQL and how error messages name them.

use crate::ast::{AggregateOp, BinaryOp, Span};
use crate::string_literal::quote;

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Where it stands.
    pub(crate) span: Span,
}

/// The kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The end of the text.
    End,
    /// A name without colon.
    Identifier,
    /// A name with at least one colon.
    MetricIdentifier,
    /// `1`, `0x1f`, `NaN`.
    Number,
    /// `5m`.
    Duration,
    /// Quoted, quotes included.
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`.
    Assign,
    /// `=~`.
    MatchRegex,
    /// `!~`.
    MatchNotRegex,
    /// `@`.
    At,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// A word that is a function, or a function of durations, when a parenthesis follows.
    Timing(Timing),
}

/// Words with a meaning of their own. All can be label names, many also metric names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
}

/// Words that stand after `@` or in durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Letters of the longest keyword.
const KEYWORD_LETTERS_MAX: usize = 12;

impl TokenKind {
    /// The kind of a word of letters, digits, `_` and `:`; keywords in any case.
    pub(crate) fn of_word(word: &str) -> Self {
        if let Some(kind) = Self::keyword(word) {
            kind
        } else if word.contains(':') {
            Self::MetricIdentifier
        } else {
            Self::Identifier
        }
    }

    fn keyword(word: &str) -> Option<Self> {
        let mut buffer = [0_u8; KEYWORD_LETTERS_MAX];
        let lower = buffer.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"inf" | b"nan" => Self::Number,
            b"and" => Self::Operator(BinaryOp::And),
            b"or" => Self::Operator(BinaryOp::Or),
            b"unless" => Self::Operator(BinaryOp::Unless),
            b"atan2" => Self::Operator(BinaryOp::Atan2),
            b"offset" => Self::Keyword(Keyword::Offset),
            b"smoothed" => Self::Keyword(Keyword::Smoothed),
            b"anchored" => Self::Keyword(Keyword::Anchored),
            b"by" => Self::Keyword(Keyword::By),
            b"without" => Self::Keyword(Keyword::Without),
            b"on" => Self::Keyword(Keyword::On),
            b"ignoring" => Self::Keyword(Keyword::Ignoring),
            b"group_left" => Self::Keyword(Keyword::GroupLeft),
            b"group_right" => Self::Keyword(Keyword::GroupRight),
            b"fill" => Self::Keyword(Keyword::Fill),
            b"fill_left" => Self::Keyword(Keyword::FillLeft),
            b"fill_right" => Self::Keyword(Keyword::FillRight),
            b"bool" => Self::Keyword(Keyword::Bool),
            b"start" => Self::Timing(Timing::Start),
            b"end" => Self::Timing(Timing::End),
            lower => return Self::timing(lower).or_else(|| Self::aggregate(lower)),
        })
    }

    /// The words that may stand inside a duration.
    pub(crate) fn duration_word(word: &str) -> Option<Self> {
        let mut buffer = [0_u8; KEYWORD_LETTERS_MAX];
        let lower = buffer.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        Self::timing(lower)
    }

    fn timing(lower: &[u8]) -> Option<Self> {
        Some(Self::Timing(match lower {
            b"step" => Timing::Step,
            b"range" => Timing::Range,
            b"max_of" => Timing::MaxOf,
            b"min_of" => Timing::MinOf,
            _ => return None,
        }))
    }

    fn aggregate(lower: &[u8]) -> Option<Self> {
        Some(Self::Aggregate(match lower {
            b"sum" => AggregateOp::Sum,
            b"avg" => AggregateOp::Avg,
            b"count" => AggregateOp::Count,
            b"min" => AggregateOp::Min,
            b"max" => AggregateOp::Max,
            b"group" => AggregateOp::Group,
            b"stddev" => AggregateOp::Stddev,
            b"stdvar" => AggregateOp::Stdvar,
            b"topk" => AggregateOp::Topk,
            b"bottomk" => AggregateOp::Bottomk,
            b"count_values" => AggregateOp::CountValues,
            b"quantile" => AggregateOp::Quantile,
            b"limitk" => AggregateOp::Limitk,
            b"limit_ratio" => AggregateOp::LimitRatio,
            _ => return None,
        }))
    }

    /// True for every word that can name a metric outside quotes: most keywords, but not those that follow a
    /// binary operator.
    pub(crate) fn is_metric_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) | Self::Timing(_) => true,
            Self::Operator(op) => op.is_set(),
            Self::Keyword(keyword) => !matches!(
                keyword,
                Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Bool
            ),
            _ => false,
        }
    }

    /// True for every word that can name a label outside quotes in `by (…)`, `on (…)` and the like.
    pub(crate) fn is_label_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) | Self::Timing(_) => true,
            Self::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            Self::Keyword(keyword) => keyword != Keyword::Without,
            _ => false,
        }
    }

    /// True when an expression can begin with it.
    pub(crate) fn starts_expression(self) -> bool {
        matches!(
            self,
            Self::Number
                | Self::Duration
                | Self::String
                | Self::LeftParen
                | Self::LeftBrace
                | Self::Operator(BinaryOp::Add | BinaryOp::Sub)
        ) || self.is_metric_name()
    }
}

impl Token {
    /// The token as "unexpected …" names it. `text` is what it was read from.
    pub(crate) fn describe(&self, text: &str) -> String {
        let written = self.span.of(text);
        match self.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(written)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(written)),
            TokenKind::Number => format!("number {}", shortened(written)),
            TokenKind::Duration => format!("duration {}", shortened(written)),
            TokenKind::String => format!("string {}", shortened(written)),
            TokenKind::Keyword(_) => format!("<{written}>"),
            TokenKind::Aggregate(_) => format!("<aggr:{written}>"),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::MatchRegex | TokenKind::MatchNotRegex => {
                format!("<op:{written}>")
            }
            _ => shortened(written),
        }
    }
}

/// Quoted, and cut after ten characters when it is longer than ten bytes.
fn shortened(written: &str) -> String {
    if written.len() <= 10 {
        return quote(written);
    }
    let cut: String = written.chars().take(10).collect();
    format!("{}...", quote(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_any_case() {
        assert_eq!(TokenKind::of_word("sUm"), TokenKind::Aggregate(AggregateOp::Sum));
        assert_eq!(
            TokenKind::of_word("COUNT_VALUES"),
            TokenKind::Aggregate(AggregateOp::CountValues)
        );
        assert_eq!(
            TokenKind::of_word("Group_Right"),
            TokenKind::Keyword(Keyword::GroupRight)
        );
        assert_eq!(TokenKind::of_word("NaN"), TokenKind::Number);
        assert_eq!(TokenKind::of_word("count_values_"), TokenKind::Identifier);
        assert_eq!(TokenKind::of_word("sum:rate"), TokenKind::MetricIdentifier);
        assert_eq!(
            TokenKind::duration_word("STep"),
            Some(TokenKind::Timing(Timing::Step))
        );
        assert_eq!(TokenKind::duration_word("start"), None);
    }

    #[test]
    fn long_tokens_are_cut_in_messages() {
        let describe = |kind: TokenKind, text: &str| {
            let span = Span {
                start: 0,
                end: u32::try_from(text.len()).unwrap(),
            };
            Token { kind, span }.describe(text)
        };
        assert_eq!(
            describe(TokenKind::String, "\"0123456789\""),
            r#"string "\"012345678"..."#
        );
        assert_eq!(
            describe(TokenKind::Number, "1234567890"),
            r#"number "1234567890""#
        );
        assert_eq!(describe(TokenKind::Timing(Timing::Start), "start"), r#""start""#);
        assert_eq!(
            describe(TokenKind::Aggregate(AggregateOp::Sum), "SUM"),
            "<aggr:SUM>"
        );
    }
}
