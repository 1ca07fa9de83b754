// FerretDB on PostgreSQL, with a plain and a TLS listener, built with FerretDB's package for embedding:
// its own program can't be built from the Go proxy alone (a generated file is missing there).
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	config := ferretdb.Config{Handler: "postgresql"}
	flag.StringVar(&config.Listener.TCP, "listen", "", "address")
	flag.StringVar(&config.Listener.TLS, "listen-tls", "", "address")
	flag.StringVar(&config.Listener.TLSCertFile, "certificate", "", "file")
	flag.StringVar(&config.Listener.TLSKeyFile, "key", "", "file")
	flag.StringVar(&config.PostgreSQLURL, "postgresql-url", "", "where the data is kept")
	flag.Parse()
	config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))

	server, err := ferretdb.New(&config)
	if err != nil {
		log.Fatal(err)
	}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.Run(stopped); err != nil {
		log.Fatal(err)
	}
}
