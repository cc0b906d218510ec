//! The problems of audit queries.

use super::Problem;
use crate::audit::{AuditError, NotRecorded};
use eventstore::ExecuteError;

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::NoStream(_)
            | AuditError::NoCorrelation(_)
            | AuditError::NoIndex
            | AuditError::NoJournal
            | AuditError::NoReadModel(_)
            | AuditError::NotYet { .. } => Self::not_found(error.to_string()),
            AuditError::Beyond { head, .. } => Self::version_mismatch(error.to_string(), head),
            AuditError::OtherJournal { .. } | AuditError::BeyondEnd { .. } => {
                Self::invalid("after", error.to_string())
            }
            AuditError::Read(error) => error.into(),
            AuditError::Index(error) => error.into(),
            AuditError::Damaged(_) | AuditError::Fold { .. } | AuditError::Format(_) => {
                Self::internal(&error)
            }
        }
    }
}

impl From<NotRecorded> for Problem {
    fn from(error: NotRecorded) -> Self {
        let detail = error.to_string();
        match error {
            NotRecorded::Store(ExecuteError::ClockSkew(_)) => {
                Self { detail, ..Self::clock_set_back() }
            }
            NotRecorded::Store(error) => Self { detail, ..error.into() },
            NotRecorded::Stream(_) | NotRecorded::Id(_) | NotRecorded::Json(_) => {
                Self::internal(&error)
            }
        }
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use eventstore::{ClockSkew, CorruptStream, Damage, Id, StoreError};
    use std::sync::Arc;

    #[test]
    fn an_unrecorded_query_has_the_problem_of_a_command() {
        let source = || Arc::new(std::io::Error::other("busy"));
        let damaged =
            CorruptStream { stream: "access-1".to_owned(), version: 1, damage: Damage::Chain };
        let ahead =
            ClockSkew { command_id: Id::new("k").unwrap(), ahead_ms: 300_001, allowed_ms: 300_000 };
        for (error, status, slug) in [
            (ExecuteError::Store(StoreError::Throttled(source())), 429, "throttled"),
            (ExecuteError::Contention { attempts: 3 }, 503, "contention"),
            (ExecuteError::ClockSkew(ahead), 503, "unavailable"),
            (ExecuteError::Store(StoreError::Unavailable(source())), 503, "unavailable"),
            (
                ExecuteError::Store(StoreError::NoTable {
                    table: "t".to_owned(),
                    source: source(),
                }),
                500,
                "internal-error",
            ),
            (ExecuteError::Corrupt(damaged), 500, "internal-error"),
        ] {
            let problem = Problem::from(NotRecorded::Store(error));
            assert_eq!(
                (problem.status, problem.kind),
                (status, format!("https://ledgerfold.dev/problems/{slug}"))
            );
            assert!(problem.detail.contains("cannot be recorded"), "{}", problem.detail);
        }
    }
}
