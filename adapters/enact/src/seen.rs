//! What a store knows of a log that others write to as well: how far it has looked, and where its own last event stands.
//!
//! Owns the arithmetic. It is true for good, whoever writes meanwhile: what is visible never changes.

/// Everything up to `upto` was looked at, or lies before `last`, which is the last own position up to there; 0 if there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) upto: u64,
    pub(crate) last: u64,
}

impl Seen {
    /// Where to begin to look for own events behind `after`: between `last` and `upto` there are none.
    pub(crate) fn start(self, after: u64) -> u64 {
        if after < self.last { after } else { after.max(self.upto) }
    }

    /// Everything behind `from` up to `upto` was looked at, and `last` was the last own position there.
    pub(crate) fn learn(&mut self, from: u64, upto: u64, last: Option<u64>) {
        let joins = last.is_some() || from <= self.upto;
        if upto > self.upto && joins {
            *self = Seen { upto, last: last.unwrap_or(self.last) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every look at every log of seven positions, after every other look.
    #[test]
    fn what_is_known_is_true() {
        const END: u64 = 7;
        for own in 0..1u64 << END {
            let is_own = |position: &u64| own >> (position - 1) & 1 == 1;
            let last_in = |from: u64, upto: u64| (from + 1..=upto).rev().find(is_own);
            for first in 0..END * END {
                for second in 0..END * END {
                    let mut seen = Seen::default();
                    for look in [first, second] {
                        let (from, upto) = (look / END, look % END + 1);
                        seen.learn(from, upto, last_in(from, upto));
                        assert_eq!(seen.last, last_in(0, seen.upto).unwrap_or(0), "{own:b} {first} {second}");
                    }
                    for after in 0..=END {
                        assert_eq!(last_in(after, seen.start(after)), None, "nothing is passed over");
                    }
                }
            }
        }
    }

    #[test]
    fn a_look_spares_the_next_one_what_others_wrote() {
        let mut seen = Seen::default();
        seen.learn(0, 100, Some(40));
        assert_eq!((seen.start(39), seen.start(40), seen.start(60), seen.start(200)), (39, 100, 100, 200));
        seen.learn(100, 300, None);
        assert_eq!(seen, Seen { upto: 300, last: 40 });
        seen.learn(500, 600, None);
        assert_eq!(seen, Seen { upto: 300, last: 40 }, "between 300 and 500 nobody has looked");
        seen.learn(500, 600, Some(550));
        assert_eq!(seen, Seen { upto: 600, last: 550 });
    }
}
