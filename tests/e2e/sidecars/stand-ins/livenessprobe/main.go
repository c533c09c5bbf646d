// Answers GET /healthz by a Probe of the CSI driver, with the options of the official sidecar of the same name.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/connection"
	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
)

func probe(ctx context.Context, address string) (bool, error) {
	conn, err := connection.Connect(ctx, address, metrics.NewCSIMetricsManagerForSidecar(""))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	return rpc.Probe(ctx, conn)
}

func main() {
	address := flag.String("csi-address", "/run/csi/socket", "socket of the CSI driver")
	port := flag.String("health-port", "9808", "port of the answers")
	endpoint := flag.String("http-endpoint", "", "address of the answers, instead of the port")
	timeout := flag.Duration("probe-timeout", time.Second, "of one Probe")
	flag.Int("v", 0, "accepted, unused")
	flag.Parse()
	if *endpoint == "" {
		*endpoint = ":" + *port
	}
	http.HandleFunc("/healthz", func(reply http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), *timeout)
		defer cancel()
		ready, err := probe(ctx, *address)
		if err != nil || !ready {
			log.Printf("driver: ready=%t %v", ready, err)
			http.Error(reply, "driver is not healthy", http.StatusInternalServerError)
			return
		}
		_, _ = reply.Write([]byte("ok"))
	})
	server := &http.Server{Addr: *endpoint, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
