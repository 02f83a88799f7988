package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
	"github.com/tasktrail/tasktrail/query/auth"
)

func newKeys() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys", Args: cobra.NoArgs}
	c.AddCommand(newKeysCreate(), newKeysList(), newKeysRevoke())
	return c
}

// keysCommand is a subcommand that works on the key file of the data directory.
func keysCommand(c *cobra.Command, run func(c *cobra.Command, args []string, keys *auth.KeyFile, asJSON bool) error) *cobra.Command {
	load := settingsFlags(c, "data_dir")
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		if _, err := os.Stat(s.DataDir); err != nil {
			return usageError{fmt.Errorf("data directory %s: %w: start tasktrail up once, or name another with --data-dir", s.DataDir, err)}
		}
		keys, err := auth.OpenKeyFile(filepath.Join(s.DataDir, app.KeysFile))
		if err != nil {
			return err
		}
		return run(c, args, keys, *output == "json")
	}
	return c
}

func newKeysCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Create a key and print it, once", Args: cobra.ExactArgs(1)}
	scopes := c.Flags().StringSlice("scope", nil, "scopes: "+scopeNames())
	namespace := c.Flags().String("namespace", "default", "the namespace the key is bound to")
	user := c.Flags().String("user", "", "the user whose tasks alone the key sees")
	queues := c.Flags().StringSlice("queue", nil, "queues whose commands an agent may take; none means all")
	expires := c.Flags().Duration("expires-in", 0, "how long the key is good for; 0 for ever")
	return keysCommand(c, func(c *cobra.Command, args []string, keys *auth.KeyFile, asJSON bool) error {
		spec := auth.KeySpec{Name: args[0], Namespace: *namespace, UserID: *user, Queues: *queues}
		for _, s := range *scopes {
			scope, err := auth.ParseScope(s)
			if err != nil {
				return usageError{err}
			}
			spec.Scopes = append(spec.Scopes, scope)
		}
		if *expires > 0 {
			spec.ExpiresAt = time.Now().Add(*expires)
		}
		if err := spec.Validate(); err != nil {
			return usageError{err}
		}
		key, token, err := keys.Create(c.Context(), spec)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"id": key.ID, "token": token})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", token)
		fmt.Fprintln(c.ErrOrStderr(), "key", key.ID, "is kept as a hash alone: this is the only time it is shown")
		return err
	})
}

func newKeysList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys", Args: cobra.NoArgs}
	return keysCommand(c, func(c *cobra.Command, _ []string, keys *auth.KeyFile, asJSON bool) error {
		all, err := keys.List(c.Context())
		if err != nil {
			return err
		}
		type row struct {
			ID        string       `json:"id"`
			Name      string       `json:"name"`
			Namespace string       `json:"namespace"`
			UserID    string       `json:"user_id,omitempty"`
			Scopes    []auth.Scope `json:"scopes"`
			CreatedAt time.Time    `json:"created_at"`
			ExpiresAt time.Time    `json:"expires_at,omitzero"`
			RevokedAt time.Time    `json:"revoked_at,omitzero"`
		}
		rows := make([]row, 0, len(all))
		for _, k := range all {
			rows = append(rows, row{k.ID, k.Name, k.Namespace, k.UserID, k.Scopes, k.CreatedAt, k.ExpiresAt, k.RevokedAt})
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), rows)
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tNAMESPACE\tUSER\tSCOPES\tCREATED\tEXPIRES\tREVOKED")
		for _, r := range rows {
			scopes := make([]string, len(r.Scopes))
			for i, s := range r.Scopes {
				scopes[i] = string(s)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, r.Namespace, dash(r.UserID), strings.Join(scopes, ","),
				day(r.CreatedAt), day(r.ExpiresAt), day(r.RevokedAt))
		}
		return w.Flush()
	})
}

func newKeysRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "Revoke a key; it stops working at once", Args: cobra.ExactArgs(1)}
	return keysCommand(c, func(c *cobra.Command, args []string, keys *auth.KeyFile, asJSON bool) error {
		if err := keys.Revoke(c.Context(), args[0]); err != nil {
			return err
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"revoked": args[0]})
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), "revoked", args[0])
		return err
	})
}

func scopeNames() string {
	names := make([]string, 0, len(auth.Scopes()))
	for _, s := range auth.Scopes() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
