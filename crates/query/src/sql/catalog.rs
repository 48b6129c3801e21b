//! Which tables there are: `samples`, `series`, and one for each metric.
//!
//! A metric that is called like a table hides behind it in the schema `public`; the schema `metrics` has metrics only.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::TableType;
use model::{METRIC_NAME, TimeRange};
use storage::Source;

use super::table::Table;
use super::usage::Usage;
use crate::QueryError;

/// The only catalog.
pub(crate) const CATALOG: &str = "meshtide";

/// Where a table without a schema is looked for.
pub(crate) const PUBLIC: &str = "public";

/// Metrics, and nothing else.
const METRICS: &str = "metrics";

/// Tables that are no metrics.
pub(crate) const TABLES: [&str; 2] = ["samples", "series"];

/// What one statement can name.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) usage: Usage,
}

/// One of the two schemas.
#[derive(Debug)]
struct Schema {
    tables: Tables,
    metrics_only: bool,
}

impl Tables {
    /// All metrics, sorted.
    pub(crate) fn metric_names(&self) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(self.source.label_values(METRIC_NAME, TimeRange::ALL)?)
    }

    fn metric(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let table = Table::metric(Arc::clone(&self.source), self.usage.clone(), name)?;
        Ok(table.map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        let metrics = self.tables.metric_names().unwrap_or_default();
        let metrics = metrics.iter().map(ToString::to_string);
        if self.metrics_only {
            return metrics.collect();
        }
        let tables = TABLES.map(str::to_owned);
        let metrics = metrics.filter(|name| !TABLES.contains(&name.as_str()));
        tables.into_iter().chain(metrics).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Tables { source, usage } = self.tables.clone();
        Ok(match name {
            "samples" if !self.metrics_only => Some(Arc::new(Table::samples(source, usage))),
            "series" if !self.metrics_only => Some(Arc::new(Table::series(source, usage))),
            name => self.tables.metric(name)?,
        })
    }

    async fn table_type(&self, _: &str) -> DataFusionResult<Option<TableType>> {
        Ok(Some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        (!self.metrics_only && TABLES.contains(&name)) || matches!(self.tables.metric(name), Ok(Some(_)))
    }
}

impl CatalogProvider for Tables {
    fn schema_names(&self) -> Vec<String> {
        [METRICS, PUBLIC].map(str::to_owned).to_vec()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let schema = |metrics_only| {
            let tables = self.clone();
            Some(Arc::new(Schema { tables, metrics_only }) as Arc<dyn SchemaProvider>)
        };
        match name {
            PUBLIC => schema(false),
            METRICS => schema(true),
            _ => None,
        }
    }
}

impl CatalogProviderList for Tables {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}
