//! Operations on tags of queues.

use serde::{Deserialize, Serialize};

use super::{QueueRequest, required};
use crate::error::ApiError;
use crate::server::SharedServer;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagRequest {
    queue_url: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagRequest {
    queue_url: Option<String>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagsAnswer {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

pub(crate) fn tag(server: &SharedServer, request: TagRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let tags = request.tags.ok_or_else(|| ApiError::missing("Tags"))?;
    server.store().change_tags(url, tags, &[])
}

pub(crate) fn untag(server: &SharedServer, request: UntagRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let keys = request.tag_keys.ok_or_else(|| ApiError::missing("TagKeys"))?;
    server.store().change_tags(url, BTreeMap::new(), &keys)
}

pub(crate) fn list(server: &SharedServer, request: QueueRequest) -> Result<TagsAnswer, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    Ok(TagsAnswer { tags: server.store().queue(url)?.tags.clone() })
}
