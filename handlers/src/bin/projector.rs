//! The projector of one projection on Lambda: its queue to its read model.

use handlers::ProjectorHandler;
use handlers::bookshop;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::Projector, async |start| {
        let projection = start.settings.projection()?;
        let projector = start.system.projector();
        start.warm_read_models(&projector, &[projection]).await?;
        let continuations = start.system.continuations(&projection).await?;
        let handler = ProjectorHandler::new(projection, projector).with_pulse().with_continuations(continuations);
        start.serve_queue(async |event, left| handler.handle_within(event, left).await).await
    })
}
