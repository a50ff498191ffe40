package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
)

// remote is the worker that the commands ask which operate
// one, and the form in which they print what it says.
type remote struct {
	*app
	to     client.Config
	output string
}

const (
	urlVariable = "COUPASTREAM_URL"
	usualURL    = "http://127.0.0.1:8083"
)

// flags declares the flags of a command that asks a worker, and of its subcommands.
func (r *remote) flags(cmd *cobra.Command) {
	r.connection(cmd)
	f := cmd.PersistentFlags()
	f.StringVarP(&r.output, "output", "o", "text", "form of the result: text or json")
	// the flag is there
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// connection declares the flags that say which worker is asked, and as whom.
func (r *remote) connection(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&r.to.URL, "url", "", "address of a worker of the group; else that of "+urlVariable+", else "+usualURL)
	f.StringVar(&r.to.User, "user", "", "user of the worker's rest.auth.file")
	f.StringVar(&r.to.PasswordFile, "password-file", "", "file with that user's password")
	f.StringVar(&r.to.TokenFile, "token-file", "", "file with a bearer token, in place of a user")
	f.StringVar(&r.to.CA, "cacert", "", "PEM file with the authority of the worker's certificate")
	f.StringVar(&r.to.Cert, "cert", "", "PEM file with a certificate to show to the worker")
	f.StringVar(&r.to.Key, "key", "", "PEM file with the key of that certificate")
}

// client makes the client that the flags and the environment ask for.
func (r *remote) client() (*client.Client, error) {
	to := r.to
	if to.URL == "" {
		to.URL, _ = r.env(urlVariable)
	}
	if to.URL == "" {
		to.URL = usualURL
	}
	to.ReadOnly = r.readOnly
	return client.New(to)
}

// asking is a command's Run with a client at hand.
func (r *remote) asking(run func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if r.output != "text" && r.output != "json" {
			return usageError{fmt.Errorf("--output %q is not a form; give text or json", r.output)}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		return run(cmd.Context(), c, args)
	}
}

// print prints a result: as JSON, or as text writes it.
func (r *remote) print(result any, text func(w io.Writer)) error {
	if r.output == "json" {
		enc := json.NewEncoder(r.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	t := newTable(r.stdout)
	text(t)
	return t.Flush()
}

// newTable aligns columns that tabs divide.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// done prints that something was done to something.
func (r *remote) done(what, format string, args ...any) error {
	return r.print(map[string]string{"name": what, "result": fmt.Sprintf(format, args...)}, func(w io.Writer) { fmt.Fprintf(w, "%s: "+format+"\n", append([]any{what}, args...)...) })
}

// completionTime is how long a shell waits for a worker, and a person for the shell.
const completionTime = 2 * time.Second

// completeConnectors completes names of connectors, for the first argument, or for all.
func (r *remote) completeConnectors(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return r.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) { return c.Names(ctx) })
	}
}

// completeObjects completes objects of the connector that is the first argument, which is completed before.
func (r *remote) completeObjects(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return r.completeConnectors(1)(cmd, args, typed)
		}
		if most > 0 && len(args) > most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return r.objectsOf(cmd, args[0])
	}
}

// completeObjectFlag completes objects for a flag, of the connector that is the first argument.
func (r *remote) completeObjectFlag(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.objectsOf(cmd, args[0])
}

func (r *remote) objectsOf(cmd *cobra.Command, name string) ([]string, cobra.ShellCompDirective) {
	return r.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) {
		h, err := c.ConnectorHealth(ctx, name)
		var objects []string
		for _, t := range h.Tasks {
			objects = append(objects, t.Object)
		}
		return objects, err
	})
}

// ask gets completions from the worker; none where it can't be asked.
func (r *remote) ask(cmd *cobra.Command, list func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	c, err := r.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	all, err := list(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// atTerminal tells whether somebody sits there who can be asked.
func (a *app) atTerminal() bool {
	if a.interactive {
		return true
	}
	file, ok := a.stdin.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && a.onTerminal()
}

// says asks who sits at the terminal, and tells whether it is a yes.
func (a *app) says(question string) (yes bool, err error) {
	fmt.Fprint(a.stderr, question+" [y/N] ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))), nil
}

// onTerminal tells whether results are read by somebody who sits there.
func (a *app) onTerminal() bool {
	file, ok := a.stdout.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// short is a duration in its two largest units.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return units(d, time.Minute, "m", time.Second, "s")
	case d < 48*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "m")
	}
	return units(d, 24*time.Hour, "d", time.Hour, "h")
}

func units(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	text := fmt.Sprintf("%d%s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf("%d%s", rest, smallName)
	}
	return text
}

// instantText is an instant, or a dash where there is none.
func instantText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// orDash stands in for nothing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
