//! Every described operation has a route, and each route requires the operation's scope.

use super::Template;
use crate::harness::program::Dev;
use handlers::access::{Requirement, required_scope};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// Served, but no operations: the description itself, and the files of the console.
const UNDESCRIBED: [&str; 5] =
    ["GET /openapi.json", "GET /", "GET /console", "GET /console/", "GET /console/{file}"];

/// The operations of the OpenAPI document, as keys of routes.
fn described(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .keys()
            .map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    calls.chain(UNDESCRIBED.map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_described_operation_has_one_route_to_its_function() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path()).await;
    let document: Value =
        reqwest::get(format!("{}/openapi.json", dev.url)).await.unwrap().json().await.unwrap();
    let template = Template::read();
    let mut routed = BTreeSet::new();
    for (name, route) in template.all("AWS::ApiGatewayV2::Route") {
        // OpenAPI has no syntax for a parameter that takes the rest of the path.
        let key = route["RouteKey"].as_str().unwrap().replace("+}", "}");
        assert!(routed.insert(key.clone()), "{key} has two routes");
        let (verb, path) = key.split_once(' ').unwrap();
        let commands =
            path.starts_with("/commands/") || verb == "POST" && !path.starts_with("/projections/");
        let integration = if commands { "CommandApiIntegration" } else { "QueryApiIntegration" };
        assert_eq!(
            route["Target"]["Fn::Sub"],
            format!("integrations/${{{integration}}}"),
            "{name}"
        );
    }
    assert_eq!(routed, described(&document), "routes, and operations that are described");
    dev.kill().await;
}

#[test]
fn each_route_asks_for_the_scope_that_the_api_asks_for() {
    let template = Template::read();
    let mut open = Vec::new();
    for (name, route) in template.all("AWS::ApiGatewayV2::Route") {
        let (verb, path) = route["RouteKey"].as_str().unwrap().split_once(' ').unwrap();
        match required_scope(&bookshop::app(), &verb.parse::<Method>().unwrap(), path) {
            Requirement::Scope(scope) => {
                assert_eq!(route["AuthorizationType"], "JWT", "{name}");
                assert_eq!(route["AuthorizerId"], json!({ "Ref": "Authorizer" }), "{name}");
                assert_eq!(route["AuthorizationScopes"], json!([scope.name()]), "{name}");
            }
            Requirement::Nothing => {
                assert_eq!(route["AuthorizationType"], "NONE", "{name}");
                open.push(path);
            }
            // It leads browsers to the console, and has nothing else.
            Requirement::Unlisted if path == "/" => {
                assert_eq!(route["AuthorizationType"], "NONE", "{name}");
            }
            Requirement::Unlisted => panic!("{name}: the API knows nothing at {path}"),
        }
    }
    open.sort_unstable();
    let public = ["/console", "/console/", "/console/{file}", "/healthz", "/openapi.json"];
    assert_eq!(open, public, "open routes");
}

#[test]
fn each_scope_of_the_routes_has_a_client_with_no_other() {
    for template in Template::both() {
        let server = template.properties("Scopes");
        let identifier = server["Identifier"].as_str().unwrap();
        let given = server["Scopes"].as_array().unwrap().iter();
        let given: BTreeSet<String> = given
            .map(|scope| format!("{identifier}/{}", scope["ScopeName"].as_str().unwrap()))
            .collect();
        let routes = template.all("AWS::ApiGatewayV2::Route");
        let asked: BTreeSet<String> = routes
            .filter_map(|(_, route)| Some(route["AuthorizationScopes"][0].as_str()?.to_owned()))
            .collect();
        assert_eq!(given, asked);
        let clients: Vec<(&str, &Value)> = template.all("AWS::Cognito::UserPoolClient").collect();
        let mut allowed = BTreeSet::new();
        for (name, client) in clients.iter().filter(|(name, _)| *name != CONSOLE) {
            let scopes = client["AllowedOAuthScopes"].as_array().unwrap();
            assert_eq!(scopes.len(), 1, "{name}");
            allowed.insert(scopes[0].as_str().unwrap().to_owned());
        }
        assert_eq!((&allowed, clients.len()), (&asked, asked.len() + 1));
        let audiences =
            &template.properties("Authorizer")["JwtConfiguration"]["Audience"]["Fn::If"][1];
        let audiences: BTreeSet<&str> = audiences
            .as_array()
            .unwrap()
            .iter()
            .map(|client| client["Ref"].as_str().unwrap())
            .collect();
        assert_eq!(audiences, clients.iter().map(|(name, _)| *name).collect());
    }
}

/// The client of the console.
const CONSOLE: &str = "ConsoleClient";

#[test]
fn people_sign_in_to_the_console_without_a_secret() {
    for template in Template::both() {
        let client = template.properties(CONSOLE);
        assert_eq!(client["GenerateSecret"], false);
        assert_eq!(client["AllowedOAuthFlows"], json!(["code"]));
        let callback = json!([{ "Fn::Sub": "${HttpApi.ApiEndpoint}/console/" }]);
        assert_eq!(client["CallbackURLs"], callback);
        let variables = &template.properties("QueryApi")["Environment"]["Variables"];
        for name in ["CLIENT", "ISSUER", "ORIGINS"] {
            assert!(variables[format!("LEDGERFOLD_CONSOLE_{name}")].is_object(), "{name}");
        }
    }
}
