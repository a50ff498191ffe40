// Package deploy holds no code: it is the folder of what runs coupastream somewhere (see README.md
// in it), and the tests that keep its files true to the program: samples, dashboard, alerts,
// runbook, documents and releases. What needs other tools to be checked is checked by the module in check.
package deploy
