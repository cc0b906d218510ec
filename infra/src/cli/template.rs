//! `template`: what AWS needs to run the app.

use super::failure::{Exit, Failure};
use super::{app, output};
use crate::template::{render, render_container};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ledgerfold template                            print it
  ledgerfold template --out template.yaml        write it, if it can be rendered
  ledgerfold template --check template.yaml      is the file still what the app needs? For CI.
  ledgerfold template --container --out container.yaml

`sam deploy --template-file template.yaml` deploys it. --code is the folder with the program, which is called `bootstrap` there:
`cargo lambda build` makes target/lambda/NAME-service.")]
pub(super) struct Template {
    /// The folder of the program, as the template's own folder sees it. By default target/lambda/NAME-service/.
    #[arg(long, value_name = "DIR")]
    code: Option<String>,
    /// The template of the container, which shares tables and queues with the first one.
    #[arg(long, conflicts_with = "code")]
    container: bool,
    /// The file to write. By default the template is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare a file with what would be rendered, and end with 1 if it differs.
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    check: Option<PathBuf>,
}

impl Template {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let code = self.code.clone().unwrap_or_else(|| format!("target/lambda/{}-service/", app().name()));
        let text = if self.container { render_container(app()) } else { render(app(), &code) };
        let text = text.map_err(|error| Failure::from_error(&error))?;
        match (&self.check, &self.out) {
            (Some(file), _) => check(file, &text),
            (None, Some(file)) => {
                let failed = |error| Failure::new(format!("{} cannot be written", file.display()), error);
                std::fs::write(file, text).map(|()| Exit::Done).map_err(failed)
            }
            (None, None) => output::line(text.trim_end()).map(|()| Exit::Done),
        }
    }
}

/// Tells the first line in which the file is not what it should be.
fn check(file: &Path, text: &str) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(format!("{} cannot be read", file.display()), error);
    let written = std::fs::read_to_string(file).map_err(failed)?;
    if written == text {
        output::line(&format!("{} is what the app needs", file.display()))?;
        return Ok(Exit::Done);
    }
    let same = written.lines().zip(text.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).map_or_else(|| "the end of the file".to_owned(), str::to_owned);
    output::line(&format!(
        "{} differs from line {}:\n- {}\n+ {}\nRender it again with --out.",
        file.display(),
        same + 1,
        line(&written),
        line(text)
    ))?;
    Ok(Exit::Negative)
}
