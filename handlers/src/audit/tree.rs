//! Builds the tree of causes: pure.

use super::trace::{TracedCommand, TracedEvent};
use eventstore::{Commit, Event, StreamId, time_text};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// The most nested commands. Each has four levels of JSON, and common JSON parsers allow 128
/// levels.
const MAX_DEPTH: usize = 20;

/// The commands as trees, in the given order: the oldest first. Each is shown once, below the event
/// that its causation id names as `{stream}:{version}`; without that event it is a root. A chain
/// that is too deep continues as another root, and so does a cycle of causes, which only a forged
/// causation id makes.
pub(super) fn grow(commits: &[(StreamId, Commit)]) -> Vec<TracedCommand> {
    let mut growth = Growth {
        commits,
        caused: HashMap::new(),
        placed: BTreeSet::new(),
        too_deep: VecDeque::new(),
    };
    let events: BTreeSet<(&str, u64)> =
        commits.iter().flat_map(|(stream, commit)| keys(stream, commit)).collect();
    let mut first = Vec::new();
    for (index, (_, commit)) in commits.iter().enumerate() {
        match cause(commit).filter(|cause| events.contains(cause)) {
            Some(cause) => growth.caused.entry(cause).or_default().push(index),
            None => first.push(index),
        }
    }
    let mut roots = Vec::new();
    for index in first.into_iter().chain(0..commits.len()) {
        growth.too_deep.push_back(index);
        while let Some(index) = growth.too_deep.pop_front() {
            roots.extend(growth.command(index, 1).map(|command| (index, command)));
        }
    }
    roots.sort_by_key(|(index, _)| *index);
    roots.into_iter().map(|(_, command)| command).collect()
}

/// The event that caused a commit, if its causation id names one.
fn cause(commit: &Commit) -> Option<(&str, u64)> {
    let (stream, version) = commit.metadata.causation_id.as_ref()?.as_str().rsplit_once(':')?;
    Some((stream, version.parse().ok()?))
}

fn keys<'a>(stream: &'a StreamId, commit: &'a Commit) -> impl Iterator<Item = (&'a str, u64)> {
    commit.events.iter().map(move |event| (stream.as_str(), event.version))
}

struct Growth<'a> {
    commits: &'a [(StreamId, Commit)],
    /// The commands that an event caused, by their places among the commits.
    caused: HashMap<(&'a str, u64), Vec<usize>>,
    placed: BTreeSet<usize>,
    too_deep: VecDeque<usize>,
}

impl<'a> Growth<'a> {
    /// The command with its effects, unless it is in the tree already.
    fn command(&mut self, index: usize, depth: usize) -> Option<TracedCommand> {
        let (stream, commit) = self.commits.get(index)?;
        if !self.placed.insert(index) {
            return None;
        }
        let events = commit.events.iter().map(|event| self.event(stream, event, depth)).collect();
        Some(TracedCommand {
            stream: stream.to_string(),
            version: commit.version,
            command_id: commit.metadata.command_id.to_string(),
            actor: commit.metadata.actor.to_string(),
            recorded_at: time_text(commit.recorded_at),
            caused_by: commit.metadata.causation_id.as_ref().map(ToString::to_string),
            events,
        })
    }

    fn event(&mut self, stream: &'a StreamId, event: &Event, depth: usize) -> TracedEvent {
        let caused = self.caused.remove(&(stream.as_str(), event.version)).unwrap_or_default();
        let commands = if depth < MAX_DEPTH {
            caused.into_iter().filter_map(|index| self.command(index, depth + 1)).collect()
        } else {
            self.too_deep.extend(caused);
            Vec::new()
        };
        TracedEvent {
            version: event.version,
            event_type: event.body.event_type.clone(),
            schema: event.body.schema,
            data: event.body.data.clone(),
            commands,
        }
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use chrono::DateTime;
    use eventstore::{CommandMetadata, Fingerprint, Hash, Id, NewEvent};
    use serde_json::value::RawValue;

    /// A commit of so many events, and what caused it.
    fn commit(stream: &str, version: u64, events: u64, cause: Option<&str>) -> (StreamId, Commit) {
        let id = Id::new(format!("{stream}/{version}")).unwrap();
        let body = NewEvent {
            event_type: "Noted".into(),
            schema: 1,
            data: RawValue::from_string("1".into()).unwrap(),
        };
        let metadata = CommandMetadata {
            command_id: id.clone(),
            fingerprint: Fingerprint::of(&[]),
            correlation_id: id.clone(),
            causation_id: cause.map(|cause| Id::new(cause).unwrap()),
            actor: id,
            trace_parent: None,
        };
        let events = (version..version + events)
            .map(|version| Event { version, body: body.clone() })
            .collect();
        let recorded_at = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
        (
            StreamId::new(stream).unwrap(),
            Commit { version, metadata, recorded_at, events, hash: Hash::of(&[]) },
        )
    }

    /// The tree in one line: commands with their events in brackets.
    fn line(commands: &[TracedCommand]) -> String {
        let event = |event: &TracedEvent| format!("{}{}", event.version, line(&event.commands));
        let command = |command: &TracedCommand| {
            format!(
                "{}[{}]",
                command.stream,
                command.events.iter().map(event).collect::<Vec<_>>().join(" ")
            )
        };
        commands.iter().map(command).collect()
    }

    fn check(commits: &[(StreamId, Commit)], wanted: &str) {
        assert_eq!(line(&grow(commits)), wanted);
    }

    #[test]
    fn commands_hang_below_the_events_that_caused_them() {
        let commits = [
            commit("order-1", 1, 2, None),
            commit("stock-1", 5, 1, Some("order-1:1")),
            commit("stock-2", 1, 1, Some("order-1:1")),
            commit("order-1", 3, 1, Some("stock-1:5")),
            commit("mail-a:b", 1, 1, Some("order-1:2")),
            commit("mail-c", 1, 1, Some("mail-a:b:1")),
        ];
        check(&commits, "order-1[1stock-1[5order-1[3]]stock-2[1] 2mail-a:b[1mail-c[1]]]");
    }

    #[test]
    fn a_command_without_a_cause_in_the_trace_is_a_root() {
        let commits = [
            commit("a-1", 1, 1, Some("elsewhere-1:1")),
            commit("a-1", 2, 1, Some("a-1:9")),
            commit("a-1", 3, 1, Some("some-other-text")),
            commit("a-1", 4, 1, Some("a-1:one")),
            commit("a-1", 5, 1, Some("a-1:1")),
        ];
        check(&commits, "a-1[1a-1[5]]a-1[2]a-1[3]a-1[4]");
        assert_eq!(grow(&commits)[0].caused_by.as_deref(), Some("elsewhere-1:1"));
    }

    #[test]
    fn a_circle_of_causes_ends() {
        check(&[commit("a-1", 1, 1, Some("a-1:1"))], "a-1[1]");
        let circle = [
            commit("a-1", 1, 1, Some("c-1:1")),
            commit("b-1", 1, 1, Some("a-1:1")),
            commit("c-1", 1, 1, Some("b-1:1")),
            commit("d-1", 1, 1, None),
        ];
        check(&circle, "a-1[1b-1[1c-1[1]]]d-1[1]");
    }

    #[test]
    fn a_long_chain_continues_as_another_root() {
        // The streams' names are in the order of the chain or against it: causes count, not the
        // order of equal times.
        for name in [|n: usize| format!("a-{n:04}"), |n: usize| format!("a-{:04}", 9_999 - n)] {
            let cause = |n: usize| n.checked_sub(1).map(|before| format!("{}:1", name(before)));
            let mut commits: Vec<_> =
                (0..1_000).map(|n| commit(&name(n), 1, 1, cause(n).as_deref())).collect();
            commits.sort_by(|(one, _), (other, _)| one.cmp(other));
            let roots = grow(&commits);
            assert_eq!(roots.len(), 1_000 / MAX_DEPTH);
            assert_eq!(line(&roots).matches("a-").count(), 1_000);
            let text =
                serde_json::to_string(&roots.iter().map(|root| &root.stream).collect::<Vec<_>>())
                    .unwrap();
            assert!(text.contains(&name(MAX_DEPTH)), "{text}");
        }
    }

    #[test]
    fn any_reader_of_json_can_read_the_deepest_tree() {
        let cause = |n: u32| n.checked_sub(1).map(|before| format!("a-{before}:1"));
        let commits: Vec<_> =
            (0..100).map(|n| commit(&format!("a-{n}"), 1, 1, cause(n).as_deref())).collect();
        let text = serde_json::to_string(&grow(&commits)).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
