//! HTTP reads of the read models.

use crate::{bestsellers, orders};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use domain::CustomerId;
use domain::order::OrderStatus;
use domain::read_models::bestsellers::{self as sales, BestsellerRow};
use domain::read_models::orders::{OrderRow, customer_list};
use domain::read_models::stock::StockRow;
use eventstore::time_text;
use handlers::http::{PageCursor, Params, PathParameter, Problem, cursor_text};
use projections::{ListCursor, ListPage, Projector, Row, UnreadableRow};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::SystemTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes with their own logic: a filtered list, and a list whose default day depends on the data.
pub(crate) fn routes() -> OpenApiRouter<Projector> {
    OpenApiRouter::new().routes(routes!(orders_of_customer)).routes(routes!(bestsellers_of_day))
}

/// The most pages that one request reads to find orders of a status.
const MAX_PAGES: u32 = 10;

/// Which orders.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct OrderFilter {
    /// Only orders with this status.
    #[param(pattern = "^(placed|confirmed|rejected|cancelled|shipped)$")]
    status: Option<String>,
    /// The most orders in the answer.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Continues an earlier page.
    cursor: Option<String>,
}

/// Which bestsellers.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Day {
    /// The day, UTC. By default today, or the day of the newest sale if the clock that recorded it
    /// is ahead.
    day: Option<NaiveDate>,
    /// The most books in the answer.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The orders of a customer, newest first.
#[utoipa::path(get, path = "/customers/{id}/orders", tag = "orders",
    params(("id" = String, Path, pattern = "^[A-Za-z0-9._:@-]{1,64}$", description = "The customer's id"), OrderFilter),
    responses((status = 200, description = "The orders; none for a customer who never ordered", body = OrdersPage)))]
pub(crate) async fn orders_of_customer(
    State(projector): State<Projector>,
    PathParameter(id): PathParameter,
    params: Params,
) -> Result<Json<OrdersPage>, Problem> {
    let customer_id =
        CustomerId::try_from(id).map_err(|rule| Problem::invalid("id", rule.to_string()))?;
    let params = params.only(&["status", "limit", "cursor"])?;
    let (status, limit) = (status(&params)?, params.limit(20)?);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let list = customer_list(customer_id.as_str());
    let cursor = params.cursor()?.map(|cursor: PageCursor| cursor.of(&list)).transpose()?;
    let mut listed = Listed { cursor, orders: Vec::new(), wanted, status };
    for _ in 0..MAX_PAGES {
        let cursor = listed.cursor.as_ref();
        let page = projector.list(&orders(), &list, limit, cursor).await?;
        listed.take(page)?;
        if listed.cursor.is_none() || listed.orders.len() == wanted {
            break;
        }
    }
    let next_cursor = listed.cursor.and_then(|behind| cursor_text(&PageCursor::new(list, behind)));
    Ok(Json(OrdersPage { orders: listed.orders, next_cursor }))
}

/// The orders found so far, and the cursor of the list.
struct Listed {
    cursor: Option<ListCursor>,
    orders: Vec<OrderView>,
    wanted: usize,
    status: Option<OrderStatus>,
}

impl Listed {
    /// Adds the orders of a page that have the status, up to the limit.
    fn take(&mut self, page: ListPage) -> Result<(), Problem> {
        let rows = page.rows.len();
        for (index, row) in page.rows.iter().enumerate() {
            let view = order_view(row).map_err(unreadable)?;
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
pub(crate) async fn bestsellers_of_day(
    State(projector): State<Projector>,
    params: Params,
) -> Result<Json<Bestsellers>, Problem> {
    let params = params.only(&["day", "limit"])?;
    let day = match params.day("day")? {
        Some(day) => day,
        None => newest_day(&projector).await?,
    };
    let list = sales::day_list(day);
    let page = projector.list(&bestsellers(), &list, params.limit(20)?, None).await?;
    let book = |row: &Row| {
        let BestsellerRow { isbn, copies, revenue_minor } = row.read().map_err(unreadable)?;
        Ok(Bestseller { isbn, copies, revenue_minor })
    };
    let books = page.rows.iter().map(book).collect::<Result<_, Problem>>()?;
    Ok(Json(Bestsellers { day: day.to_string(), books }))
}

/// Today, or the day of the newest sale if it is later: the clock that recorded it may be ahead.
async fn newest_day(projector: &Projector) -> Result<NaiveDate, Problem> {
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let newest = projector.heartbeat(&bestsellers()).newest().await?;
    Ok(newest.map_or(today, |newest| newest.date_naive().max(today)))
}

fn status(params: &Params) -> Result<Option<OrderStatus>, Problem> {
    let parse = |text: &str| {
        let status = serde_json::from_value(serde_json::Value::from(text));
        status.map_err(|_| {
            Problem::invalid("status", "must be placed, confirmed, rejected, cancelled or shipped")
        })
    };
    params.text("status").map(parse).transpose()
}

/// The order in answers.
pub(crate) fn order_view(row: &Row) -> Result<OrderView, UnreadableRow> {
    let order: OrderRow = row.read()?;
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

/// The stock of a book in answers.
pub(crate) fn stock_view(row: &Row) -> Result<StockView, UnreadableRow> {
    let levels: StockRow = row.read()?;
    let isbn = row.key.split_once("/stock-").map_or("", |(_, isbn)| isbn);
    Ok(StockView {
        isbn: isbn.to_owned(),
        version: row.version,
        on_hand: levels.on_hand,
        reserved: levels.reserved,
        available: levels.available(),
    })
}

fn unreadable(error: UnreadableRow) -> Problem {
    projections::TableError::from(error).into()
}

/// An order.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderView {
    /// Its id.
    pub(crate) order_id: String,
    /// The version of its stream.
    pub(crate) version: u64,
    /// Its status.
    #[schema(value_type = String, pattern = "^(placed|confirmed|rejected|cancelled|shipped)$")]
    pub(crate) status: OrderStatus,
    /// Who ordered.
    pub(crate) customer_id: String,
    /// The currency of its prices.
    pub(crate) currency: String,
    /// What was ordered.
    pub(crate) lines: domain::OrderLines,
    /// What it costs, in minor units.
    pub(crate) total_minor: u64,
    /// Why it was rejected or cancelled.
    pub(crate) reason: Option<String>,
    /// The tracking code of the parcel.
    pub(crate) tracking_code: Option<String>,
    /// When it was placed, RFC 3339.
    pub(crate) placed_at: String,
    /// When it last changed, RFC 3339.
    pub(crate) updated_at: String,
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrdersPage {
    /// The orders, newest first.
    pub(crate) orders: Vec<OrderView>,
    /// The cursor of the next page. A page with fewer orders than requested, even with none, may
    /// have one.
    pub(crate) next_cursor: Option<String>,
}

/// The stock of a book.
#[derive(Serialize, ToSchema)]
pub(crate) struct StockView {
    /// The book.
    pub(crate) isbn: String,
    /// The version of its stream.
    pub(crate) version: u64,
    /// Copies in the warehouse.
    pub(crate) on_hand: u64,
    /// Copies reserved for orders.
    pub(crate) reserved: u64,
    /// Copies that can still be reserved.
    pub(crate) available: u64,
}

/// The best-selling books of a day.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bestsellers {
    /// The day, UTC.
    pub(crate) day: String,
    /// The books, most copies first.
    pub(crate) books: Vec<Bestseller>,
}

/// A book's sales.
#[derive(Serialize, ToSchema)]
pub(crate) struct Bestseller {
    /// The book.
    pub(crate) isbn: String,
    /// Copies in orders that were not rejected or cancelled.
    pub(crate) copies: i64,
    /// What they cost, in minor units, by currency.
    pub(crate) revenue_minor: BTreeMap<String, i64>,
}
