//! Reads of the read models.

use super::extract::Segment;
use super::params::{Params, cursor_text};
use super::problem::Problem;
use super::schema::{Bestseller, Bestsellers, OrderView, OrdersPage, StockView};
use super::{Api, Shared};
use super::{orders, stock};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use domain::CustomerId;
use domain::order::OrderStatus;
use eventstore::{MAX_VERSION, time_text};
use projections::bestsellers::{self, BestsellerRow};
use projections::orders::{OrderRow, customer_list};
use projections::stock::StockRow;
use projections::{ListCursor, ListPage, Row, UnreadableRow};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use utoipa::IntoParams;

/// The most pages of a list that one request looks through for orders of a status.
const MAX_PAGES: u32 = 10;

/// How fresh an answer must be.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a parameter")]
struct Freshness {
    /// The version of the stream that the answer has seen at least; 412 where the stream is not there yet.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    at_least: Option<u64>,
}

/// Which orders.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct OrderFilter {
    /// Only those with this status.
    #[param(pattern = "^(placed|confirmed|rejected|cancelled|shipped)$")]
    status: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where an earlier page ended.
    cursor: Option<String>,
}

/// Which bestsellers.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Day {
    /// The day, UTC. If none is given it is today, or the day of the newest sale, where the clock that dated that is further.
    day: Option<NaiveDate>,
    /// How many books at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// An order.
#[utoipa::path(get, path = "/orders/{id}", tag = "orders",
    params(("id" = uuid::Uuid, Path, description = "The order's id"), Freshness),
    responses((status = 200, description = "The order", body = OrderView)))]
pub(crate) async fn order(State(api): Shared, Segment(id): Segment, params: Params) -> Result<Response, Problem> {
    let order_id = orders::parse_id(&id)?;
    let at_least = at_least(params)?;
    let row = api.projector.row(&projections::orders::PROJECTION, &orders::stream(order_id)?, at_least).await?;
    let row = row.ok_or_else(|| Problem::not_found(format!("there is no order {order_id}")))?;
    Ok(with_etag(row.version, order_view(&row)?))
}

/// The stock of a book.
#[utoipa::path(get, path = "/stock/{isbn}", tag = "stock",
    params(("isbn" = String, Path, pattern = "^97[89][0-9]{10}$", description = "The book's ISBN-13, digits only"), Freshness),
    responses((status = 200, description = "The stock", body = StockView)))]
pub(crate) async fn stock(State(api): Shared, Segment(isbn): Segment, params: Params) -> Result<Response, Problem> {
    let isbn = stock::parse_isbn(&isbn)?;
    let at_least = at_least(params)?;
    let row = api.projector.row(&projections::stock::PROJECTION, &stock::stream(&isbn)?, at_least).await?;
    let row = row.ok_or_else(|| Problem::not_found(format!("there has never been a copy of {isbn}")))?;
    let levels: StockRow = row.read().map_err(unreadable)?;
    let view = StockView {
        isbn: isbn.to_string(),
        version: row.version,
        on_hand: levels.on_hand,
        reserved: levels.reserved,
        available: levels.available(),
    };
    Ok(with_etag(row.version, view))
}

/// The orders of a customer, newest first.
#[utoipa::path(get, path = "/customers/{id}/orders", tag = "orders",
    params(("id" = String, Path, pattern = "^[A-Za-z0-9._:@-]{1,64}$", description = "The customer's id"), OrderFilter),
    responses((status = 200, description = "The orders; none for a customer who never ordered", body = OrdersPage)))]
pub(crate) async fn orders_of_customer(
    State(api): Shared,
    Segment(id): Segment,
    params: Params,
) -> Result<Json<OrdersPage>, Problem> {
    let customer_id = CustomerId::try_from(id).map_err(|rule| Problem::invalid("id", rule.to_string()))?;
    let params = params.only(&["status", "limit", "cursor"])?;
    let (status, limit) = (status(&params)?, params.limit(20)?);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let list = customer_list(customer_id.as_str());
    let cursor = params.cursor()?.map(|cursor: OrdersCursor| cursor.of(&list)).transpose()?;
    let mut listed = Listed { cursor, orders: Vec::new(), wanted, status };
    for _ in 0..MAX_PAGES {
        let cursor = listed.cursor.as_ref();
        let page = api.projector.list(&projections::orders::PROJECTION, &list, limit, cursor).await?;
        listed.take(page)?;
        if listed.cursor.is_none() || listed.orders.len() == wanted {
            break;
        }
    }
    let next_cursor = listed.cursor.and_then(|behind| cursor_text(&OrdersCursor { list, behind }));
    Ok(Json(OrdersPage { orders: listed.orders, next_cursor }))
}

/// Where a page of a customer's orders ended. It names its list, because DynamoDB takes no key of another one.
#[derive(Serialize, Deserialize)]
struct OrdersCursor {
    list: String,
    behind: ListCursor,
}

impl OrdersCursor {
    fn of(self, list: &str) -> Result<ListCursor, Problem> {
        let fits = self.list == list && self.behind.fits();
        if fits { Ok(self.behind) } else { Err(Problem::foreign_cursor()) }
    }
}

/// Orders that were found so far, and where the list goes on.
struct Listed {
    cursor: Option<ListCursor>,
    orders: Vec<OrderView>,
    wanted: usize,
    status: Option<OrderStatus>,
}

impl Listed {
    /// Takes the orders of the status from a page, until there are as many as wanted.
    fn take(&mut self, page: ListPage) -> Result<(), Problem> {
        let rows = page.rows.len();
        for (index, row) in page.rows.iter().enumerate() {
            let view = order_view(row)?;
            if self.status.is_none_or(|status| status == view.status) {
                self.orders.push(view);
            }
            if self.orders.len() == self.wanted && index + 1 < rows {
                self.cursor = ListCursor::behind(row);
                return Ok(());
            }
        }
        self.cursor = page.next;
        Ok(())
    }
}

/// The best-selling books of a day.
#[utoipa::path(get, path = "/bestsellers", tag = "reports", params(Day),
    responses((status = 200, description = "The books, most copies first", body = Bestsellers)))]
pub(crate) async fn bestsellers(State(api): Shared, params: Params) -> Result<Json<Bestsellers>, Problem> {
    let params = params.only(&["day", "limit"])?;
    let day = match params.day("day")? {
        Some(day) => day,
        None => newest_day(&api).await?,
    };
    let list = bestsellers::day_list(day);
    let page = api.projector.list(&bestsellers::PROJECTION, &list, params.limit(20)?, None).await?;
    let book = |row: &Row| {
        let BestsellerRow { isbn, copies, revenue_minor } = row.read().map_err(unreadable)?;
        Ok(Bestseller { isbn, copies, revenue_minor })
    };
    let books = page.rows.iter().map(book).collect::<Result<_, Problem>>()?;
    Ok(Json(Bestsellers { day: day.to_string(), books }))
}

/// The day of the newest sales, which the clocks of those date who recorded them; today at the earliest, where there were none.
async fn newest_day(api: &Api) -> Result<NaiveDate, Problem> {
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let newest = api.projector.pulse(&bestsellers::PROJECTION).newest().await?;
    Ok(newest.map_or(today, |newest| newest.date_naive().max(today)))
}

fn at_least(params: Params) -> Result<u64, Problem> {
    Ok(params.only(&["at_least"])?.number("at_least", 0..=MAX_VERSION)?.unwrap_or(0))
}

fn status(params: &Params) -> Result<Option<OrderStatus>, Problem> {
    let parse = |text: &str| {
        let status = serde_json::from_value(serde_json::Value::from(text));
        status.map_err(|_| Problem::invalid("status", "must be placed, confirmed, rejected, cancelled or shipped"))
    };
    params.text("status").map(parse).transpose()
}

fn order_view(row: &Row) -> Result<OrderView, Problem> {
    let order: OrderRow = row.read().map_err(unreadable)?;
    let order_id = row.key.split_once("/order-").map_or("", |(_, order_id)| order_id);
    Ok(OrderView {
        order_id: order_id.to_owned(),
        version: row.version,
        status: order.status,
        customer_id: order.details.customer_id.to_string(),
        currency: order.details.currency.to_string(),
        total_minor: order.details.total_minor(),
        lines: order.details.lines,
        reason: order.reason.map(|reason| reason.as_str().to_owned()),
        tracking_code: order.tracking_code.map(|code| code.as_str().to_owned()),
        placed_at: time_text(order.placed_at),
        updated_at: time_text(order.updated_at),
    })
}

fn unreadable(error: UnreadableRow) -> Problem {
    projections::TableError::from(error).into()
}

fn with_etag(version: u64, body: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}
