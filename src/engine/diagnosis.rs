//! Torn or corrupt: the decision table of FORMAT.md section 8 as one pure function.
//!
//! Owns the decision and nothing else: what was seen goes in, what it means comes out. Tested over every combination.

/// What stands in the place of the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FooterSeen {
    /// A valid footer whose end is where the frames stop, and that agrees with them.
    Agrees,
    /// A valid footer that says something else.
    Disagrees,
    Zeros,
    /// Neither valid nor zeros.
    Invalid,
}

/// What stands where the frames stop, and behind it, up to the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing but zeros.
    Zeros,
    /// Bytes that are not zero, none of them a frame of a later batch.
    Remains,
    /// A frame whose batch was written after what should be here.
    Witness,
    /// A frame that is valid but does not follow, or cannot be understood.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The segment is complete: its footer says so. Row 1 and 4.
    Sealed,
    /// The log ends here. Row 6.
    CleanEnd,
    /// The log ends here; an unacknowledged batch must be cleared away. Row 8.
    TornTail,
    /// The log ends here; a footer that was never complete must be cleared away. Row 9.
    TornFooter,
    /// Acknowledged bytes are damaged where the frames stop. Rows 2, 5 and 7.
    Corrupt,
    /// The footer is damaged, or it and the frames cannot both be what a crash left. Rows 3 and 10.
    CorruptFooter,
}

/// The decision for one segment.
pub(crate) fn diagnose(is_last: bool, footer: FooterSeen, rest: Rest) -> Verdict {
    use FooterSeen::{Agrees, Disagrees, Invalid, Zeros};
    match (is_last, footer, rest) {
        // No crash leaves a valid frame that does not follow.
        (_, _, Rest::Refused) => Verdict::Corrupt,
        // The footer was written after the last batch was durable: what it says was acknowledged.
        (_, Agrees, _) => Verdict::Sealed,
        (_, Disagrees, _) => Verdict::Corrupt,
        // The next segment got its name only after this one's footer was durable.
        (false, Zeros | Invalid, _) => Verdict::CorruptFooter,
        (true, Zeros, Rest::Zeros) => Verdict::CleanEnd,
        (true, Zeros, Rest::Remains) => Verdict::TornTail,
        (true, Zeros, Rest::Witness) => Verdict::Corrupt,
        // While a footer is on its way, no batch is.
        (true, Invalid, Rest::Zeros) => Verdict::TornFooter,
        (true, Invalid, Rest::Remains | Rest::Witness) => Verdict::CorruptFooter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination, against the rows of FORMAT.md spelled out by hand.
    #[test]
    fn every_combination_is_decided_as_the_format_says() {
        use FooterSeen::*;
        let footers = [Agrees, Disagrees, Zeros, Invalid];
        let rests = [Rest::Zeros, Rest::Remains, Rest::Witness, Rest::Refused];
        let mut seen = 0;
        for is_last in [false, true] {
            for footer in footers {
                for rest in rests {
                    let verdict = diagnose(is_last, footer, rest);
                    let refused = rest == Rest::Refused;
                    let destroys = matches!(verdict, Verdict::TornTail | Verdict::TornFooter);
                    // Only the last segment, without a valid footer, without evidence of a later batch, is ever changed.
                    if destroys {
                        assert!(is_last && matches!(footer, Zeros | Invalid));
                        assert!(matches!(rest, Rest::Zeros | Rest::Remains));
                    }
                    // Nothing that was acknowledged for sure is ever taken for an end.
                    if rest == Rest::Witness || refused || footer == Disagrees {
                        let ok = matches!(verdict, Verdict::Corrupt | Verdict::CorruptFooter)
                            || verdict == Verdict::Sealed && footer == Agrees && !refused;
                        assert!(ok, "{is_last} {footer:?} {rest:?} {verdict:?}");
                    }
                    // A segment with a successor is complete or corrupt.
                    if !is_last {
                        assert!(!destroys && verdict != Verdict::CleanEnd);
                        assert_eq!(verdict == Verdict::Sealed, footer == Agrees && !refused);
                    }
                    // A crash at any moment of a correct writer leaves one of these, and each of them opens.
                    let crash = is_last
                        && matches!(
                            (footer, rest),
                            (Zeros, Rest::Zeros | Rest::Remains)
                                | (Invalid, Rest::Zeros)
                                | (Agrees, Rest::Zeros)
                        );
                    let opens = !matches!(verdict, Verdict::Corrupt | Verdict::CorruptFooter);
                    if crash {
                        assert!(opens, "{footer:?} {rest:?}");
                    }
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 32);
        assert_eq!(diagnose(true, Zeros, Rest::Remains), Verdict::TornTail);
        assert_eq!(diagnose(true, Zeros, Rest::Witness), Verdict::Corrupt);
        assert_eq!(diagnose(true, Invalid, Rest::Zeros), Verdict::TornFooter);
        assert_eq!(diagnose(true, Invalid, Rest::Remains), Verdict::CorruptFooter);
        assert_eq!(diagnose(true, Agrees, Rest::Zeros), Verdict::Sealed);
        assert_eq!(diagnose(false, Invalid, Rest::Zeros), Verdict::CorruptFooter);
    }
}
