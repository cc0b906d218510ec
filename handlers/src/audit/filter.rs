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
