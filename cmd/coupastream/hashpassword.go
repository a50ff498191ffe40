package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/coupastream/coupastream/connector/rest/security"
)

func newHashPasswordCommand(a *app) *cobra.Command {
	var token bool
	var role string
	cmd := &cobra.Command{
		Use:   "hash-password NAME",
		Short: "Make an entry of the accounts file (rest.auth.file): a user, or with --token a token",
		Long: `Make an entry of the accounts file that a worker's rest.auth.file names. The password is asked for, or read from the first line of stdin; it is hashed with
argon2id. With --token a random token is made, and printed once, on stderr: the file has its SHA-256 alone.

The file is YAML. Roles are read-only, admin, and hook, which rings doorbells alone (hooks.enabled); certificates are named by common name, DNS name or URI, and need listeners.https.ssl.client.auth:

  users:
    ops: {password: "$argon2id$v=19$m=19456,t=2,p=1$…", role: admin}
  tokens:
    prometheus: {sha256: 9f86d081…, role: read-only}
  certificates:
    worker-1.example.com: {role: admin}`,
		Example: "  coupastream hash-password ops --role admin\n" +
			"  coupastream hash-password prometheus --token",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.hashPassword(args[0], security.Role(role), token)
		},
	}
	cmd.Flags().BoolVar(&token, "token", false, "make a bearer token in place of a user with a password")
	cmd.Flags().StringVar(&role, "role", string(security.ReadOnly), "what the account may do: read-only, admin or hook")
	return cmd
}

func (a *app) hashPassword(name string, role security.Role, token bool) error {
	if !role.IsRole() {
		return usageError{fmt.Errorf("--role %q is not a role; give read-only, admin or hook", role)}
	}
	if name == "" || strings.ContainsAny(name, ":\"\\\n\t") {
		return usageError{fmt.Errorf("%q is not the name of an account; leave out colons, quotes and what can't be seen", name)}
	}
	if token {
		text, hash := security.NewToken()
		fmt.Fprintf(a.stderr, "token, shown this once: %s\n", text)
		_, err := fmt.Fprintf(a.stdout, "tokens:\n  %q: {sha256: %s, role: %s}\n", name, hash, role)
		return err
	}
	password, err := a.readPassword()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "users:\n  %q: {password: %q, role: %s}\n", name, security.HashPassword(password), role)
	return err
}

// readPassword asks for a password, twice, where somebody sits at a terminal, and reads a line otherwise.
func (a *app) readPassword() (string, error) {
	file, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("reading the password from stdin: %w", err)
		}
		return checkPassword(strings.TrimRight(line, "\r\n"))
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(a.stderr, what)
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(a.stderr)
		return string(text), err
	}
	password, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", usageError{errors.New("the two are not the same; begin again")}
	}
	return checkPassword(password)
}

// leastPassword is the length that NIST asks for (SP 800-63B), in characters.
const leastPassword = 8

func checkPassword(password string) (string, error) {
	if len([]rune(password)) < leastPassword {
		return "", usageError{fmt.Errorf("the password has less than %d characters; give a longer one", leastPassword)}
	}
	return password, nil
}
