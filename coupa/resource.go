package coupa

import (
	"slices"
)

// Resource is a collection that this version streams.
type Resource struct {
	Path      string   // below /api
	Object    string   // Coupa's name of the object, as in its API description
	Scopes    []string // scopes that reading it takes
	UpdatedAt bool     // rows carry updated-at and can be asked for by it
	Lines     string   // collection of lines that carry an updated-at of their own, as a filter spells it; "": none
	Doc       string   // one sentence for people
}

// Resources returns the collections that this version streams, in the order in which they are shown. Paths, objects and
// scopes are those of Coupa's public API description (R39); every one of these objects has updated-at there.
func Resources() []Resource {
	return []Resource{
		{
			Path: "invoices", Object: "InvoiceHeader", Scopes: []string{"core.invoice.read"}, UpdatedAt: true,
			// Lines exist nested only (there is no /invoice_lines) and are stamped by themselves.
			Lines: "invoice_lines",
			Doc:   "Invoices and credit notes with their lines, taxes and charges.",
		},
		{
			Path: "purchase_orders", Object: "OrderHeader", Scopes: []string{"core.purchase_order.read"}, UpdatedAt: true,
			// Receiving stamps the line alone: in the sample of API "Purchase Orders" (order 2400) a line is nine days
			// newer than its header.
			Lines: "order_lines",
			Doc:   "Purchase orders with their lines.",
		},
		{
			Path: "suppliers", Object: "Supplier", Scopes: []string{"core.supplier.read"}, UpdatedAt: true,
			// A changed remit-to address does not stamp its supplier; Rossum's integration asks for it by
			// remit-to-addresses[updated-at] for that reason.
			Lines: "remit_to_addresses",
			Doc:   "Suppliers with contacts, addresses and remit-to addresses.",
		},
		{
			Path: "requisitions", Object: "RequisitionHeader", Scopes: []string{"core.requisition.read"}, UpdatedAt: true,
			// In the sample of API "Requisitions" the lines are stamped one to two seconds after the header of the same
			// save.
			Lines: "requisition_lines",
			Doc:   "Requisitions with their lines.",
		},
		{
			Path: "expense_reports", Object: "ExpenseReport", Scopes: []string{"core.expense.read"}, UpdatedAt: true,
			// Lines are a collection of their own as well (/expense_lines), with their own updated-at.
			Lines: "expense_lines",
			Doc:   "Expense reports with their lines.",
		},
		{
			Path: "contracts", Object: "Contract", Scopes: []string{"core.contract.read"}, UpdatedAt: true,
			// Terms are a sub-resource (/contracts/{id}/contract_terms) with their own updated-at.
			Lines: "contract_terms",
			Doc:   "Contracts with their parties and terms.",
		},
		{
			Path: "users", Object: "User", Scopes: []string{"core.user.read"}, UpdatedAt: true,
			Doc: "Users with roles, groups and approval limits.",
		},
	}
}

// LookupResource finds a collection by its path.
func LookupResource(path string) (Resource, bool) {
	all := Resources()
	i := slices.IndexFunc(all, func(r Resource) bool { return r.Path == path })
	if i < 0 {
		return Resource{}, false
	}
	return all[i], true
}

// Scopes returns the scopes that reading these collections takes, sorted, each once. Paths that are not in the catalogue add
// none.
func Scopes(paths []string) []string {
	var scopes []string
	for _, path := range paths {
		r, _ := LookupResource(path)
		scopes = append(scopes, r.Scopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
