//! Names of the app that this process runs. Scopes, problems and metrics need them where no app is
//! at hand.

use super::App;
use eventstore::Id;
use std::sync::OnceLock;

/// Names that follow from the app's name.
pub(crate) struct Identity {
    /// The beginning of the names of tables and queues, and the program's name.
    pub(crate) name: String,
    /// The address of problem types. A slug follows it.
    pub(crate) problems: String,
    /// The namespace of metrics, and the title of the API.
    pub(crate) title: String,
    /// The scopes write, read, audit and operate.
    pub(crate) scopes: [String; 4],
    /// The names of processes. They are actors of commands.
    processes: Vec<&'static str>,
}

static IDENTITY: OnceLock<Identity> = OnceLock::new();

/// The name before an app is checked.
const UNNAMED: &str = "ledgerfold";

impl Identity {
    fn of(name: &str, problems: Option<&str>, processes: Vec<&'static str>) -> Self {
        let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
        Self {
            name: name.to_owned(),
            problems: problems.map_or_else(|| format!("urn:problem:{name}:"), str::to_owned),
            title: format!("{}{rest}", first.to_uppercase()),
            scopes: ["write", "read", "audit", "operate"].map(|scope| format!("{name}/{scope}")),
            processes,
        }
    }

    /// Whether the actor is a process. Case is ignored.
    pub(crate) fn is_process(&self, actor: &Id) -> bool {
        self.processes.iter().any(|name| name.eq_ignore_ascii_case(actor.as_str()))
    }
}

/// The identity of the app that was checked first.
pub(crate) fn identity() -> &'static Identity {
    IDENTITY
        .get_or_init(|| Identity::of(UNNAMED, Some("https://ledgerfold.dev/problems/"), Vec::new()))
}

/// Sets the identity of this process, unless it has one.
pub(super) fn set(app: &App) {
    IDENTITY.get_or_init(|| Identity::of(app.stored_name, app.problems, app.processes().collect()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_follow_from_the_apps() {
        let billing = Identity::of("billing", None, vec!["payments"]);
        assert_eq!(
            (billing.title.as_str(), billing.problems.as_str()),
            ("Billing", "urn:problem:billing:")
        );
        assert_eq!(
            billing.scopes,
            ["billing/write", "billing/read", "billing/audit", "billing/operate"]
        );
        for (actor, is_process) in [("payments", true), ("Payments", true), ("payments2", false)] {
            assert_eq!(billing.is_process(&Id::new(actor).unwrap()), is_process, "{actor}");
        }
    }
}
