//! The table of queues.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::Notify;

use super::QueueStore;
use crate::error::{ApiError, ErrorKind};
use crate::settings::{AttributeMap, QueueSettings, RedriveAllowed, check_queue_name};

/// Tags of a queue.
pub(crate) type Tags = BTreeMap<String, String>;

const MOST_TAGS: usize = 50;
const PURGE_INTERVAL_MS: u64 = 60_000;

/// A queue, cached from the file.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created_ms: u64,
    pub(crate) modified_ms: u64,
    pub(crate) purged_ms: Option<u64>,
    pub(crate) settings: QueueSettings,
    pub(crate) tags: Tags,
    /// Notified when a message may be visible.
    pub(crate) available: Arc<Notify>,
}

/// Messages of a queue by state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) visible: u64,
    pub(crate) in_flight: u64,
    pub(crate) delayed: u64,
}

/// Every queue in the file, by name.
pub(super) fn load(conn: &Connection) -> rusqlite::Result<HashMap<String, Queue>> {
    let mut statement = conn.prepare(
        "SELECT id, name, created_ms, modified_ms, purged_ms, attributes, tags FROM queues",
    )?;
    let rows = statement.query_map([], |row| {
        let given: AttributeMap = parse(&row.get::<_, String>(5)?)?;
        let settings = QueueSettings::new(given).map_err(|e| unreadable(Box::new(e)))?;
        Ok(Queue {
            id: row.get(0)?,
            name: row.get(1)?,
            created_ms: row.get(2)?,
            modified_ms: row.get(3)?,
            purged_ms: row.get(4)?,
            settings,
            tags: parse(&row.get::<_, String>(6)?)?,
            available: Arc::new(Notify::new()),
        })
    })?;
    rows.map(|row| row.map(|queue| (queue.name.clone(), queue))).collect()
}

/// Parses JSON from the file.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|e| unreadable(Box::new(e)))
}

fn unreadable(cause: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, cause)
}

fn to_json(map: &BTreeMap<String, String>) -> String {
    serde_json::Value::from_iter(map.clone()).to_string()
}

/// The queue's name in `scheme://host/account/name`.
pub(super) fn name_in_url<'a>(url: &'a str, account: &str) -> Result<&'a str, ApiError> {
    let path =
        url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    match path.unwrap_or_else(|| url.trim_start_matches('/')).split_once('/') {
        Some((of, name)) if of == account => Ok(name),
        Some((of, _)) if !of.is_empty() && of.bytes().all(|b| b.is_ascii_digit()) => {
            Err(ApiError::no_queue())
        }
        _ => Err(ApiError::new(
            ErrorKind::InvalidAddress,
            format!("The address {url} is not valid for this endpoint."),
        )),
    }
}

impl QueueStore {
    /// Creates a queue, unless one with the same name and attributes exists.
    pub(crate) fn create_queue(
        &mut self,
        name: &str,
        given: AttributeMap,
        tags: Tags,
    ) -> Result<(), ApiError> {
        if let Some(existing) = self.queues.get(name) {
            return match existing.settings.first_difference(&given) {
                None => Ok(()),
                Some(attribute) => Err(ApiError::new(
                    ErrorKind::QueueNameExists,
                    format!(
                        "A queue already exists with the same name and a different value for attribute {attribute}"
                    ),
                )),
            };
        }
        let settings = QueueSettings::new(given)?;
        check_queue_name(name, settings.fifo)?;
        check_tags(&tags)?;
        self.check_redrive(name, &settings)?;
        let now_ms = self.now_ms()?;
        self.check_name_is_free(name, now_ms)?;
        self.conn.execute(
            "INSERT INTO queues (name, created_ms, modified_ms, attributes, tags) VALUES (?1, ?2, ?2, ?3, ?4)",
            params![name, now_ms, to_json(&settings.given), to_json(&tags)],
        )?;
        let queue = Queue {
            id: self.conn.last_insert_rowid(),
            name: name.to_owned(),
            created_ms: now_ms,
            modified_ms: now_ms,
            purged_ms: None,
            settings,
            tags,
            available: Arc::new(Notify::new()),
        };
        self.queues.insert(name.to_owned(), queue);
        Ok(())
    }

    fn check_name_is_free(&self, name: &str, now_ms: u64) -> Result<(), ApiError> {
        let since_ms = now_ms.saturating_sub(self.config.deleted_name_rest_ms);
        self.conn.execute("DELETE FROM deleted_queues WHERE deleted_ms <= ?1", [since_ms])?;
        let sql = "SELECT 1 FROM deleted_queues WHERE name = ?1";
        match self.conn.query_row(sql, [name], |_| Ok(())).optional()? {
            None => Ok(()),
            Some(()) => Err(ApiError::new(
                ErrorKind::QueueDeletedRecently,
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )),
        }
    }

    /// Checks that the dead-letter queue exists, has the same kind, and allows this source.
    fn check_redrive(&self, name: &str, settings: &QueueSettings) -> Result<(), ApiError> {
        let Some(redrive) = &settings.redrive else { return Ok(()) };
        let refused = |reason: &str| {
            let value = settings.given.get("RedrivePolicy").map_or("", String::as_str);
            Err(ApiError::parameter(format!(
                "Value {value} for parameter RedrivePolicy is invalid. Reason: {reason}"
            )))
        };
        let Some(target) = self.queue_by_arn(&redrive.target_arn) else {
            return refused("Dead letter target does not exist.");
        };
        if target.settings.fifo != settings.fifo {
            return refused("Dead-letter queue must be same type of queue as the source.");
        }
        match &target.settings.redrive_allowed {
            RedriveAllowed::All => Ok(()),
            RedriveAllowed::Sources(arns) if arns.contains(&self.arn(name)) => Ok(()),
            RedriveAllowed::Sources(_) | RedriveAllowed::None => refused(
                "The dead-letter queue's RedriveAllowPolicy does not allow this source queue.",
            ),
        }
    }

    /// Changes some attributes.
    pub(crate) fn set_queue_attributes(
        &mut self,
        url: &str,
        changes: AttributeMap,
    ) -> Result<(), ApiError> {
        let now_ms = self.now_ms()?;
        let mut queue = self.queue(url)?.clone();
        if changes
            .get("FifoQueue")
            .is_some_and(|value| value != if queue.settings.fifo { "true" } else { "" })
        {
            return Err(ApiError::new(
                ErrorKind::InvalidAttributeValue,
                "Invalid value for the parameter FifoQueue.",
            ));
        }
        let mut given = queue.settings.given.clone();
        given.extend(changes);
        let settings = QueueSettings::new(given)?;
        self.check_redrive(&queue.name, &settings)?;
        let tx = self.conn.unchecked_transaction()?;
        tx.execute(
            "UPDATE queues SET attributes = ?2, modified_ms = ?3 WHERE id = ?1",
            params![queue.id, to_json(&settings.given), now_ms],
        )?;
        if settings.fifo && settings.delay_ms != queue.settings.delay_ms {
            redelay(&tx, queue.id, settings.delay_ms)?;
        }
        tx.commit()?;
        queue.settings = settings;
        queue.modified_ms = now_ms;
        queue.available.notify_waiters();
        self.queues.insert(queue.name.clone(), queue);
        Ok(())
    }

    /// Adds and removes tags.
    pub(crate) fn change_tags(
        &mut self,
        url: &str,
        add: Tags,
        remove: &[String],
    ) -> Result<(), ApiError> {
        let mut queue = self.queue(url)?.clone();
        queue.tags.extend(add);
        queue.tags.retain(|key, _| !remove.contains(key));
        check_tags(&queue.tags)?;
        self.conn.execute(
            "UPDATE queues SET tags = ?2 WHERE id = ?1",
            params![queue.id, to_json(&queue.tags)],
        )?;
        self.queues.insert(queue.name.clone(), queue);
        Ok(())
    }

    /// Deletes a queue with all its messages.
    pub(crate) fn delete_queue(&mut self, url: &str) -> Result<(), ApiError> {
        let now_ms = self.now_ms()?;
        let queue = self.queue(url)?.clone();
        let arn = self.arn(&queue.name);
        let tx = self.conn.unchecked_transaction()?;
        for sql in [
            "DELETE FROM messages WHERE queue = ?1",
            "DELETE FROM fifo_groups WHERE queue = ?1",
            "DELETE FROM duplicates WHERE queue = ?1",
            "DELETE FROM attempts WHERE queue = ?1",
            "DELETE FROM queues WHERE id = ?1",
        ] {
            tx.execute(sql, [queue.id])?;
        }
        tx.execute("DELETE FROM moves WHERE source_arn = ?1", [arn])?;
        tx.execute(
            "INSERT OR REPLACE INTO deleted_queues VALUES (?1, ?2)",
            params![queue.name, now_ms],
        )?;
        tx.commit()?;
        self.queues.remove(&queue.name);
        queue.available.notify_waiters();
        Ok(())
    }

    /// Deletes all messages, at most once a minute.
    pub(crate) fn purge_queue(&mut self, url: &str) -> Result<(), ApiError> {
        let now_ms = self.now_ms()?;
        let mut queue = self.queue(url)?.clone();
        if queue
            .purged_ms
            .is_some_and(|purged_ms| now_ms < purged_ms.saturating_add(PURGE_INTERVAL_MS))
        {
            let message = format!(
                "Only one PurgeQueue operation on {} is allowed every 60 seconds.",
                queue.name
            );
            return Err(ApiError::new(ErrorKind::PurgeQueueInProgress, message));
        }
        let tx = self.conn.unchecked_transaction()?;
        tx.execute("DELETE FROM messages WHERE queue = ?1", [queue.id])?;
        tx.execute("DELETE FROM fifo_groups WHERE queue = ?1", [queue.id])?;
        tx.execute("UPDATE queues SET purged_ms = ?2 WHERE id = ?1", params![queue.id, now_ms])?;
        tx.commit()?;
        queue.purged_ms = Some(now_ms);
        self.queues.insert(queue.name.clone(), queue);
        Ok(())
    }

    /// The sorted names of the queues that match.
    pub(crate) fn queue_names(&self, matches: impl Fn(&Queue) -> bool) -> Vec<String> {
        let mut names: Vec<String> = self
            .queues
            .values()
            .filter(|queue| matches(queue))
            .map(|queue| queue.name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Counts the messages of a queue by state.
    pub(crate) fn counts(&mut self, url: &str) -> Result<Counts, ApiError> {
        let now_ms = self.now_ms()?;
        let queue = self.queue(url)?;
        super::settle::expire(&self.conn, queue, now_ms)?;
        let count = |sql: &str| {
            self.conn.prepare_cached(sql)?.query_row(params![queue.id, now_ms], |row| row.get(0))
        };
        let visible = count("SELECT count(*) FROM messages WHERE queue = ?1 AND visible_ms <= ?2")?;
        let hidden: u64 =
            count("SELECT count(*) FROM messages WHERE queue = ?1 AND visible_ms > ?2")?;
        let in_flight = count(
            "SELECT count(*) FROM messages WHERE queue = ?1 AND visible_ms > ?2 AND receives > 0",
        )?;
        Ok(Counts { visible, in_flight, delayed: hidden.saturating_sub(in_flight) })
    }
}

/// Applies a changed delay to the waiting messages of a FIFO queue.
fn redelay(conn: &Connection, queue: i64, delay_ms: u64) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE messages SET visible_ms = sent_ms + ?2 WHERE queue = ?1 AND receives = 0",
        params![queue, delay_ms],
    )?;
    let groups: Vec<String> = conn
        .prepare("SELECT fifo_group FROM fifo_groups WHERE queue = ?1")?
        .query_map([queue], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    groups.iter().try_for_each(|group| super::settle::refresh_group(conn, queue, group))
}

fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    let fits = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.starts_with("aws:")
    };
    if tags.len() <= MOST_TAGS && tags.iter().all(fits) {
        return Ok(());
    }
    Err(ApiError::parameter(
        "A queue has at most 50 tags, with keys of 1 to 128 and values of up to 256 characters.",
    ))
}
