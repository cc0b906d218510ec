//! Operations on queues.

use serde::{Deserialize, Serialize};

use super::{QueueRequest, required};
use crate::error::{ApiError, ErrorKind};
use crate::server::SharedServer;
use crate::settings::{AttributeMap, READ_ONLY, is_known};
use crate::token::{page_after, parse_page};

/// The most queues in an answer without `MaxResults`.
const MOST_LISTED: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateRequest {
    queue_name: Option<String>,
    attributes: Option<AttributeMap>,
    #[serde(rename = "tags", alias = "Tags")]
    tags: Option<AttributeMap>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NameRequest {
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRequest {
    queue_name_prefix: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SourcesRequest {
    queue_url: Option<String>,
    #[serde(flatten)]
    page: PageRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PageRequest {
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributesRequest {
    queue_url: Option<String>,
    attribute_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetRequest {
    queue_url: Option<String>,
    attributes: Option<AttributeMap>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UrlAnswer {
    queue_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct SourcesAnswer {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributesAnswer {
    #[serde(skip_serializing_if = "AttributeMap::is_empty")]
    attributes: AttributeMap,
}

pub(crate) fn create(server: &SharedServer, request: CreateRequest) -> Result<UrlAnswer, ApiError> {
    let name = required("QueueName", &request.queue_name)?;
    let (given, tags) = (request.attributes.unwrap_or_default(), request.tags.unwrap_or_default());
    server.store().create_queue(name, given, tags)?;
    Ok(UrlAnswer { queue_url: server.url(name) })
}

pub(crate) fn delete(server: &SharedServer, request: QueueRequest) -> Result<(), ApiError> {
    server.store().delete_queue(required("QueueUrl", &request.queue_url)?)
}

pub(crate) fn purge(server: &SharedServer, request: QueueRequest) -> Result<(), ApiError> {
    server.store().purge_queue(required("QueueUrl", &request.queue_url)?)
}

pub(crate) fn url(server: &SharedServer, request: NameRequest) -> Result<UrlAnswer, ApiError> {
    let name = required("QueueName", &request.queue_name)?;
    let queue_url = server.url(name);
    if request.owner.is_some_and(|owner| !queue_url.contains(&format!("/{owner}/"))) {
        return Err(ApiError::no_queue());
    }
    server.store().queue(&queue_url)?;
    Ok(UrlAnswer { queue_url })
}

pub(crate) fn list(server: &SharedServer, request: ListRequest) -> Result<ListAnswer, ApiError> {
    let prefix = request.queue_name_prefix.unwrap_or_default();
    let names = server.store().queue_names(|queue| queue.name.starts_with(&prefix));
    let (queue_urls, next_token) = page(server, names, &request.page)?;
    Ok(ListAnswer { queue_urls, next_token })
}

pub(crate) fn dead_letter_sources(
    server: &SharedServer,
    request: SourcesRequest,
) -> Result<SourcesAnswer, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let names = {
        let store = server.store();
        let arn = store.arn(&store.queue(url)?.name);
        store.dead_letter_sources(&arn)
    };
    let (queue_urls, next_token) = page(server, names, &request.page)?;
    Ok(SourcesAnswer { queue_urls, next_token })
}

/// One page of sorted names as URLs, and the token of the next page. As on AWS, only a request with
/// `MaxResults` gets a token.
fn page(
    server: &SharedServer,
    names: Vec<String>,
    page: &PageRequest,
) -> Result<(Vec<String>, Option<String>), ApiError> {
    let most = match page.max_results {
        None => MOST_LISTED,
        Some(most) => usize::try_from(most).ok().filter(|most| (1..=MOST_LISTED).contains(most)).ok_or_else(|| {
            ApiError::parameter(format!(
                "Value {most} for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 1000"
            ))
        })?,
    };
    let after = match &page.next_token {
        None => None,
        Some(token) => Some(
            parse_page(token)
                .ok_or_else(|| ApiError::parameter("Invalid or expired next token."))?,
        ),
    };
    let rest: Vec<String> =
        names.into_iter().filter(|name| after.as_ref().is_none_or(|after| name > after)).collect();
    let shown = rest.iter().take(most);
    let more = rest.len() > most && page.max_results.is_some();
    let next_token = shown.clone().next_back().filter(|_| more).map(|name| page_after(name));
    Ok((shown.map(|name| server.url(name)).collect(), next_token))
}

pub(crate) fn attributes(
    server: &SharedServer,
    request: AttributesRequest,
) -> Result<AttributesAnswer, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let names = request.attribute_names.unwrap_or_default();
    let mut store = server.store();
    let queue = store.queue(url)?;
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(ApiError::new(
            ErrorKind::InvalidAttributeName,
            format!("Unknown Attribute {name}."),
        ));
    }
    let mut attributes = queue.settings.shown();
    attributes.insert("QueueArn".to_owned(), store.arn(&queue.name));
    attributes.insert("CreatedTimestamp".to_owned(), (queue.created_ms / 1_000).to_string());
    attributes.insert("LastModifiedTimestamp".to_owned(), (queue.modified_ms / 1_000).to_string());
    let all = names.iter().any(|name| name == "All");
    let counted = |name: &&str| name.starts_with("Approximate");
    if all
        || names
            .iter()
            .any(|name| READ_ONLY.iter().filter(|known| counted(known)).any(|known| known == name))
    {
        let counts = store.counts(url)?;
        for (name, count) in [
            ("ApproximateNumberOfMessages", counts.visible),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed),
        ] {
            attributes.insert(name.to_owned(), count.to_string());
        }
    }
    attributes.retain(|name, _| all || names.contains(name));
    Ok(AttributesAnswer { attributes })
}

pub(crate) fn set_attributes(server: &SharedServer, request: SetRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let attributes = request.attributes.ok_or_else(|| ApiError::missing("Attributes"))?;
    server.store().set_queue_attributes(url, attributes)
}
