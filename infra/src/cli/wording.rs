//! Puts the names of the app into help and messages. The texts in the source call the program
//! `ledgerfold`; help has placeholders for read models and streams.

use super::app;
use clap::Command;
use std::sync::OnceLock;

/// The program's name in the source.
const NAME_IN_SOURCE: &str = "ledgerfold";

/// The program's name, which is also the prefix of the app's tables and queues.
pub(super) fn program() -> &'static str {
    app().stored_name()
}

/// The default data folder.
pub(super) fn data_folder() -> &'static str {
    static FOLDER: OnceLock<String> = OnceLock::new();
    FOLDER.get_or_init(|| format!(".{}", program()))
}

/// The default folder of token keys.
pub(super) fn tokens_folder() -> &'static str {
    static FOLDER: OnceLock<String> = OnceLock::new();
    FOLDER.get_or_init(|| format!("{}-tokens", data_folder()))
}

/// The default issuer of tokens.
pub(super) fn tokens_issuer() -> &'static str {
    tokens_folder().trim_start_matches('.')
}

/// The text with the program's name in place of `ledgerfold`.
pub(super) fn named(text: &str) -> String {
    let program = program();
    if program == NAME_IN_SOURCE {
        return text.to_owned();
    }
    let (mut named, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(found) = rest.find(NAME_IN_SOURCE) {
        let (before, behind) = rest.split_at(found);
        let behind = behind.get(NAME_IN_SOURCE.len()..).unwrap_or_default();
        named.push_str(before);
        // Names of files stay, such as `ledgerfold.lock`.
        let is_file = behind.starts_with('.')
            && behind.get(1..).is_some_and(|next| next.starts_with(char::is_alphanumeric));
        named.push_str(if is_file { NAME_IN_SOURCE } else { program });
        rest = behind;
    }
    named.push_str(rest);
    named
}

/// The same, with the app's read models and streams in place of the placeholders.
fn fill_placeholders(text: &str) -> String {
    let read_models: Vec<&str> = app().read_models().map(|projection| projection.name).collect();
    let streams = app().example_streams();
    let mut text = named(text);
    for (placeholder, index) in [("OTHER_READ_MODEL", 1), ("READ_MODEL", 0)] {
        if let Some(name) = read_models.get(index).or(read_models.first()) {
            text = text.replace(placeholder, name);
        }
    }
    for (placeholder, index) in [("OTHER_STREAM", 1), ("STREAM", 0)] {
        if let Some(name) = streams.get(index).or(streams.first()) {
            text = text.replace(placeholder, name);
        }
    }
    text
}

/// Fills the placeholders in the help of a command and its subcommands.
pub(super) fn for_app(command: Command) -> Command {
    let text = |text: Option<&clap::builder::StyledStr>| {
        text.map(|text| fill_placeholders(&text.to_string()))
    };
    let (about, long_about) = (text(command.get_about()), text(command.get_long_about()));
    let after_help = text(command.get_after_help());
    let mut command = command.mut_args(|arg| {
        let (help, long_help) = (text(arg.get_help()), text(arg.get_long_help()));
        let arg = if let Some(help) = help { arg.help(help) } else { arg };
        if let Some(help) = long_help { arg.long_help(help) } else { arg }
    });
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(about) = long_about {
        command = command.long_about(about);
    }
    if let Some(help) = after_help {
        command = command.after_help(help);
    }
    command.mut_subcommands(for_app)
}
