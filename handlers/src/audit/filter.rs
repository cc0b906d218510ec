//! Which events are meant: by actor, type, command, correlation and time.

use chrono::{DateTime, Utc};
use eventstore::{Commit, Event, Id};

/// Which events are meant: those that fit everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who gave the command.
    pub actor: Option<Id>,
    /// What happened; names of types are visible ASCII, as ids are.
    pub event_type: Option<Id>,
    /// The command's id.
    pub command: Option<Id>,
    /// The business process.
    pub correlation: Option<Id>,
    /// When it was recorded.
    pub period: Period,
}

/// From a time on, and before another; open where nothing is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// The period would end before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("from must be before to")]
pub struct BackwardPeriod;

impl Period {
    /// From a time on, it included, and before another.
    ///
    /// # Errors
    /// [`BackwardPeriod`] where no time lies between them.
    pub fn new(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Self, BackwardPeriod> {
        let backwards = from.zip(to).is_some_and(|(from, to)| from >= to);
        if backwards { Err(BackwardPeriod) } else { Ok(Self { from, to }) }
    }

    /// The first time in it.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        self.from
    }

    /// The first time behind it.
    pub fn to(&self) -> Option<DateTime<Utc>> {
        self.to
    }

    /// The same, but it ends then at the latest. It may be empty.
    pub(super) fn until(self, end: DateTime<Utc>) -> Self {
        Self { to: Some(self.to.map_or(end, |to| to.min(end))), ..self }
    }

    fn holds(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

impl Filter {
    /// Whether the event of the commit is meant.
    pub(super) fn fits(&self, commit: &Commit, event: &Event) -> bool {
        let envelope = &commit.envelope;
        let is = |wanted: &Option<Id>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted.as_str() == found);
        is(&self.actor, envelope.actor.as_str())
            && is(&self.event_type, &event.body.event_type)
            && is(&self.command, envelope.command_id.as_str())
            && is(&self.correlation, envelope.correlation_id.as_str())
            && self.period.holds(commit.recorded_at)
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    fn time(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_period_has_its_first_time_and_not_its_last() {
        let period = Period::new(Some(time(1)), Some(time(3))).unwrap();
        assert_eq!([0, 1, 2, 3].map(|second| period.holds(time(second))), [false, true, true, false]);
        assert!(Period::default().holds(time(0)));
        for to in [0, 1] {
            assert_eq!(Period::new(Some(time(1)), Some(time(to))), Err(BackwardPeriod));
        }
    }

    #[test]
    fn a_period_is_made_shorter_and_never_longer() {
        let open = Period::default().until(time(5));
        assert_eq!((open.from(), open.to()), (None, Some(time(5))));
        let period = Period::new(Some(time(1)), Some(time(3))).unwrap();
        assert_eq!((period.until(time(5)), period.until(time(2)).to()), (period, Some(time(2))));
        assert!(!period.until(time(0)).holds(time(1)));
    }
}
