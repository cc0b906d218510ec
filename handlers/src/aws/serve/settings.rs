//! The settings of the container, from its command line and environment.

use crate::access::KeyAddress;
use crate::app::{App, identity};
use crate::aws::names::Names;
use clap::{CommandFactory, FromArgMatches, Parser};
use projections::{Kind, Projection};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Batches of a queue at once.
const CONCURRENCY: usize = 4;
/// The same for a multi-stream read model: its batches write the same rows, and more at once would
/// conflict.
const CONCURRENCY_OF_MANY: usize = 2;

/// Serve the app as a plain process: its API, its consumers, or both.
///
/// Fan-out, from the table's stream to the queues, stays a function of Lambda.
#[derive(Debug, Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  PROGRAM serve --prefix ledgerfold-prod --issuer https://login.example.org --audience ledgerfold
  PROGRAM serve api --listen 127.0.0.1:8080 --prefix ledgerfold-prod --issuer https://login.example.org --audience ledgerfold
  PROGRAM serve consumers --prefix ledgerfold-prod --concurrency 8
  PROGRAM serve consumers --prefix ledgerfold-prod --consumers commands,rebuild

GET /healthz answers while the process runs, GET /readyz while it can work; neither asks for a token.
Region and credentials come from the environment, as everywhere (AWS_REGION, …). SIGTERM and SIGINT stop it: it takes no
more messages, answers what it was asked, settles the batches in hand, and exits with 0. A second signal ends it at once.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Serve the API, the consumers, or both. Fan-out is not served: a function of Lambda does it.
    Serve(Arguments),
}

/// Unchecked arguments: all mistakes are reported together.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What to serve: api, consumers or all.
    #[arg(value_name = "WHAT", default_value = "all")]
    what: String,
    /// Address and port to listen on.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:8080",
        env = "LEDGERFOLD_LISTEN"
    )]
    listen: String,
    /// What the names of tables and queues begin with. It must be given.
    #[arg(long, value_name = "PREFIX", env = "LEDGERFOLD_PREFIX")]
    prefix: Option<String>,
    /// Who makes the tokens: their claim iss. The API needs it.
    #[arg(long, value_name = "URL", env = "LEDGERFOLD_TOKEN_ISSUER")]
    issuer: Option<String>,
    /// For whom the tokens are made: their claim aud, or client_id where there is none. The API
    /// needs it.
    #[arg(long, value_name = "AUDIENCE", env = "LEDGERFOLD_TOKEN_AUDIENCE")]
    audience: Option<String>,
    /// Where the issuer's key set is. Without it, where the issuer's
    /// .well-known/openid-configuration says.
    #[arg(long, value_name = "URL", env = "LEDGERFOLD_KEY_SET")]
    key_set: Option<String>,
    /// Only these consumers, with commas between: read models, processes, commands, rebuild.
    #[arg(long, value_name = "NAMES", env = "LEDGERFOLD_CONSUMERS")]
    consumers: Option<String>,
    /// Batches of each queue at once. Without it 4, and 2 for read models of many streams.
    #[arg(long, value_name = "NUMBER", env = "LEDGERFOLD_CONCURRENCY")]
    concurrency: Option<String>,
    /// How long a receive waits for messages. A stop waits for it too.
    #[arg(long, value_name = "SECONDS", default_value = "20", env = "LEDGERFOLD_POLL")]
    poll: String,
    /// How long requests are still taken after a signal, while /readyz says no: time for a load
    /// balancer to notice.
    #[arg(long, value_name = "SECONDS", default_value = "5", env = "LEDGERFOLD_LINGER")]
    linger: String,
    /// How long a stop may take. The default has room for a receive that waits and its batch.
    #[arg(long, value_name = "SECONDS", default_value = "35", env = "LEDGERFOLD_DRAIN")]
    drain: String,
}

/// The settings of the container.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) names: Names,
    pub(super) listen: SocketAddr,
    pub(super) api: Option<Tokens>,
    pub(super) consumers: Vec<Consumer>,
    concurrency: Option<usize>,
    pub(super) poll: Duration,
    pub(super) linger: Duration,
    pub(super) drain: Duration,
}

/// The issuer whose tokens are accepted.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) keys: KeyAddress,
    pub(super) audience: String,
}

/// A consumer with a queue.
#[derive(Debug, Clone, Copy)]
pub(super) enum Consumer {
    /// A read model or process.
    Projection(Projection),
    /// Commands that are answered later.
    Commands,
    /// Jobs.
    Rebuild,
}

/// Everything that is missing or wrong, in one message.
#[derive(Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("the settings are not as they must be: {}", wrong.join("; "))]
pub(super) struct BadSettings {
    wrong: Vec<String>,
}

impl BadSettings {
    /// Adds a mistake.
    pub(super) fn and(mut self, wrong: &dyn std::error::Error) -> Self {
        let rule = wrong.source().map(|rule| format!(" {rule}")).unwrap_or_default();
        self.wrong.push(format!("{wrong}{rule}"));
        self
    }

    fn found<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|wrong| self.wrong.push(wrong)).ok()
    }
}

impl Arguments {
    /// The settings of this process. Exits for wrong options and for `--help`.
    pub(super) fn parse() -> Self {
        let program = std::env::args_os().next().map(PathBuf::from);
        let program = program
            .as_deref()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned());
        let examples =
            EXAMPLES.replace("PROGRAM", &program.unwrap_or_else(|| "PROGRAM".to_owned()));
        let command = CommandLine::command().after_help(examples.clone());
        let matches =
            command.mut_subcommand("serve", |serve| serve.after_help(examples)).get_matches();
        let Command::Serve(arguments) =
            CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
        arguments
    }

    /// Reads them for an app.
    pub(super) fn settings(&self, app: &App) -> Result<Settings, BadSettings> {
        self.read(app, |name| std::env::var(name).ok())
    }

    fn read(
        &self,
        app: &App,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, BadSettings> {
        let mut bad = BadSettings::default();
        let what = match self.what.as_str() {
            "api" => Ok((true, false)),
            "consumers" => Ok((false, true)),
            "all" => Ok((true, true)),
            other => Err(format!("{other:?} cannot be served: api, consumers or all")),
        };
        let what = bad.found(what);
        let region = variable("AWS_REGION").filter(|region| !region.is_empty());
        bad.found(
            region.ok_or_else(|| "AWS_REGION is missing (where tables and queues are)".to_owned()),
        );
        let names = bad.found(self.names());
        let listen = self.listen.parse().map_err(|_| {
            format!(
                "--listen is {:?}, and must be an address and a port such as 0.0.0.0:8080",
                self.listen
            )
        });
        let listen = bad.found(listen);
        let api = match what {
            Some((true, _)) => self.tokens(&mut bad).map(Some),
            Some((false, _)) | None => Some(None),
        };
        let consumers = match what {
            Some((_, true)) => bad.found(self.wanted(app)),
            Some((_, false)) | None => Some(Vec::new()),
        };
        let concurrency =
            self.concurrency.as_deref().map(|text| number("--concurrency", text, 1, 100));
        let concurrency = bad
            .found(concurrency.transpose())
            .flatten()
            .and_then(|number| usize::try_from(number).ok());
        let poll = bad.found(number("--poll", &self.poll, 1, 20)).map(Duration::from_secs);
        let linger = bad.found(number("--linger", &self.linger, 0, 300)).map(Duration::from_secs);
        let drain = bad.found(number("--drain", &self.drain, 1, 3_600)).map(Duration::from_secs);
        if linger >= drain && drain.is_some() {
            bad.wrong.push("--linger must be shorter than --drain".to_owned());
        }
        match (names, listen, api, consumers, poll, linger, drain) {
            (
                Some(names),
                Some(listen),
                Some(api),
                Some(consumers),
                Some(poll),
                Some(linger),
                Some(drain),
            ) if bad.wrong.is_empty() => {
                Ok(Settings { names, listen, api, consumers, concurrency, poll, linger, drain })
            }
            _ => Err(bad),
        }
    }

    fn names(&self) -> Result<Names, String> {
        let prefix = given(self.prefix.as_ref());
        let prefix =
            prefix.ok_or("--prefix is missing (what the names of tables and queues begin with)")?;
        prefix.parse().map_err(|rule| format!("--prefix is {prefix:?}, and must be {rule}"))
    }

    fn tokens(&self, bad: &mut BadSettings) -> Option<Tokens> {
        let missing = |name, what: &str| format!("{name} is missing ({what})");
        let audience = given(self.audience.as_ref()).cloned();
        let audience =
            bad.found(audience.ok_or_else(|| missing("--audience", "for whom tokens are made")));
        let issuer = given(self.issuer.as_ref());
        let keys = match (issuer, given(self.key_set.as_ref())) {
            (None, _) => Err(missing("--issuer", "who makes the tokens")),
            (Some(issuer), key_set) => {
                let option = if key_set.is_some() { "--key-set" } else { "--issuer" };
                KeyAddress::new(issuer, key_set.map(String::as_str))
                    .map_err(|rule| format!("{option}: {rule}"))
            }
        };
        let keys = bad.found(keys);
        Some(Tokens { keys: keys?, audience: audience? })
    }

    /// The consumers to run: all, if none is named.
    fn wanted(&self, app: &App) -> Result<Vec<Consumer>, String> {
        let all: Vec<Consumer> =
            app.consumers().iter().copied().map(Consumer::Projection).collect();
        let all = [all, vec![Consumer::Commands, Consumer::Rebuild]].concat();
        let Some(names) = given(self.consumers.as_ref()) else { return Ok(all) };
        let named = |name: &str| all.iter().find(|consumer| consumer.name() == name).copied();
        let known = || all.iter().map(|consumer| consumer.name()).collect::<Vec<_>>().join(", ");
        let wanted = names.split(',').map(str::trim).map(|name| {
            named(name).ok_or_else(|| {
                format!(
                    "--consumers names {name:?}, which {} has not: {}",
                    identity().name,
                    known()
                )
            })
        });
        wanted.collect()
    }
}

impl Settings {
    /// How many batches of a consumer's queue are handled at once.
    pub(super) fn concurrency_of(&self, consumer: Consumer) -> usize {
        let usual = match consumer {
            Consumer::Projection(Projection { kind: Kind::MultiStream { .. }, .. }) => {
                CONCURRENCY_OF_MANY
            }
            Consumer::Projection(_) | Consumer::Commands | Consumer::Rebuild => CONCURRENCY,
        };
        self.concurrency.unwrap_or(usual)
    }
}

impl Consumer {
    /// As the command line names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Projection(projection) => projection.name,
            Self::Commands => "commands",
            Self::Rebuild => "rebuild",
        }
    }
}

fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

fn number(option: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        format!("{option} is {text:?}, and must be a whole number from {least} to {most}")
    })
}
