//! `ledgerfold template`: renders the templates for AWS.

use super::exit::{Exit, Failure};
use super::{app, output};
use crate::template::{render, render_container};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ledgerfold template                            print the template
  ledgerfold template --out template.yaml        write it to a file
  ledgerfold template --check template.yaml      check that the file is up to date, for CI
  ledgerfold template --container --out container.yaml

`sam deploy --template-file template.yaml` deploys it. --code names the folder of the program
`bootstrap`. `cargo lambda build` writes it to target/lambda/NAME-service/.")]
pub(super) struct Template {
    /// The folder of the program, relative to the template. Default: target/lambda/NAME-service/.
    #[arg(long, value_name = "DIR")]
    code: Option<String>,
    /// Render the template of the container, which shares the tables and queues of the first one.
    #[arg(long, conflicts_with = "code")]
    container: bool,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare this file with the rendered template. Exit 1 if it differs.
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    check: Option<PathBuf>,
}

impl Template {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let code =
            self.code.clone().unwrap_or_else(|| format!("target/lambda/{}-service/", app().name()));
        let text = if self.container { render_container(app()) } else { render(app(), &code) };
        let text = text.map_err(|error| Failure::from_error(&error))?;
        match (&self.check, &self.out) {
            (Some(file), _) => check(file, &text),
            (None, Some(file)) => {
                let failed =
                    |error| Failure::new(format!("{} cannot be written", file.display()), error);
                std::fs::write(file, text).map(|()| Exit::Done).map_err(failed)
            }
            (None, None) => output::line(text.trim_end()).map(|()| Exit::Done),
        }
    }
}

/// Prints the first line that differs.
fn check(file: &Path, text: &str) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(format!("{} cannot be read", file.display()), error);
    let written = std::fs::read_to_string(file).map_err(failed)?;
    if written == text {
        output::line(&format!("{} is up to date", file.display()))?;
        return Ok(Exit::Done);
    }
    let same = written.lines().zip(text.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| {
        text.lines().nth(same).map_or_else(|| "the end of the file".to_owned(), str::to_owned)
    };
    output::line(&format!(
        "{} differs from line {}:\n- {}\n+ {}\nRender it again with --out.",
        file.display(),
        same + 1,
        line(&written),
        line(text)
    ))?;
    Ok(Exit::Negative)
}
