//! The program's texts, with the names of its app in them. They are written for an app called `ledgerfold`; help shows the
//! app's own read models and streams.

use super::app;
use clap::Command;
use std::sync::OnceLock;

/// How texts call the program.
const WRITTEN: &str = "ledgerfold";

/// How the program is called: as the app's tables and queues begin.
pub(super) fn program() -> &'static str {
    app().stored_name()
}

/// The folder that keeps everything, unless another is named.
pub(super) fn data_folder() -> &'static str {
    static FOLDER: OnceLock<String> = OnceLock::new();
    FOLDER.get_or_init(|| format!(".{}", program()))
}

/// The folder of keys for tokens, unless another is named.
pub(super) fn tokens_folder() -> &'static str {
    static FOLDER: OnceLock<String> = OnceLock::new();
    FOLDER.get_or_init(|| format!("{}-tokens", data_folder()))
}

/// Who issues those tokens, unless another is named.
pub(super) fn tokens_issuer() -> &'static str {
    tokens_folder().trim_start_matches('.')
}

/// The text, where the program is called by its own name.
pub(super) fn named(text: &str) -> String {
    let program = program();
    if program == WRITTEN {
        return text.to_owned();
    }
    let (mut named, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(found) = rest.find(WRITTEN) {
        let (before, behind) = rest.split_at(found);
        let behind = behind.get(WRITTEN.len()..).unwrap_or_default();
        named.push_str(before);
        // Names of files and variables stay: `ledgerfold.lock`.
        let is_file =
            behind.starts_with('.') && behind.get(1..).is_some_and(|next| next.starts_with(char::is_alphanumeric));
        named.push_str(if is_file { WRITTEN } else { program });
        rest = behind;
    }
    named.push_str(rest);
    named
}

/// The same with names of the app in the place of those that stand for them.
fn in_words_of_app(text: &str) -> String {
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

/// A command, its subcommands and their help in the words of the app.
pub(super) fn worded(command: Command) -> Command {
    let text = |text: Option<&clap::builder::StyledStr>| text.map(|text| in_words_of_app(&text.to_string()));
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
    command.mut_subcommands(worded)
}
