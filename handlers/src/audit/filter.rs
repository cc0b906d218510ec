//! Filters events by actor, type, command, correlation and time.

use super::access::{self, AccessEvent};
use chrono::{DateTime, Utc};
use eventstore::{Commit, Event, Id};

/// Which events are meant: those that fit everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The actor.
    pub actor: Option<Id>,
    /// The event type; like ids, types are visible ASCII.
    pub event_type: Option<Id>,
    /// The command id.
    pub command: Option<Id>,
    /// The correlation id.
    pub correlation: Option<Id>,
    /// The period of the recording.
    pub period: Period,
    /// Whether a search over all streams includes readings of the audit trail. It always does if
    /// their type or a command is given.
    pub readings: bool,
}

/// From a time on, and before another; open if none is given.
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
    /// [`BackwardPeriod`] if no time is between them.
    pub fn new(
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Self, BackwardPeriod> {
        let backwards = from.zip(to).is_some_and(|(from, to)| from >= to);
        if backwards { Err(BackwardPeriod) } else { Ok(Self { from, to }) }
    }

    /// The first time in it.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        self.from
    }

    /// The first time after it.
    pub fn to(&self) -> Option<DateTime<Utc>> {
        self.to
    }

    fn holds(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

impl Filter {
    /// The category of streams that a search over all streams leaves out.
    pub(super) fn without(&self) -> Option<&'static str> {
        let is_reading = |event_type: &Id| AccessEvent::TYPES.contains(&event_type.as_str());
        let named = self.command.is_some() || self.event_type.as_ref().is_some_and(is_reading);
        (!self.readings && !named).then_some(access::CATEGORY)
    }

    /// Whether the event of the commit matches.
    pub(super) fn fits(&self, commit: &Commit, event: &Event) -> bool {
        let metadata = &commit.metadata;
        let is = |wanted: &Option<Id>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_str() == found)
        };
        is(&self.actor, metadata.actor.as_str())
            && is(&self.event_type, &event.body.event_type)
            && is(&self.command, metadata.command_id.as_str())
            && is(&self.correlation, metadata.correlation_id.as_str())
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
        assert_eq!(
            [0, 1, 2, 3].map(|second| period.holds(time(second))),
            [false, true, true, false]
        );
        assert!(Period::default().holds(time(0)));
        for to in [0, 1] {
            assert_eq!(Period::new(Some(time(1)), Some(time(to))), Err(BackwardPeriod));
        }
    }

    #[test]
    fn records_of_queries_need_a_parameter_to_be_shown() {
        let id = |text: &str| Some(Id::new(text).unwrap());
        let none = Filter::default();
        assert_eq!(none.without(), Some("access"));
        assert_eq!(
            Filter { actor: id("ann"), event_type: id("Noted"), ..none.clone() }.without(),
            Some("access")
        );
        for asked in [
            Filter { readings: true, ..none.clone() },
            Filter { event_type: id("AuditTrailRead"), ..none.clone() },
            Filter { command: id("c"), ..none },
        ] {
            assert_eq!(asked.without(), None, "{asked:?}");
        }
    }
}
