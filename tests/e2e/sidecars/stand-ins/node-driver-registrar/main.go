// Tells kubelet on which socket a CSI driver listens, by the plugin registration protocol of
// k8s.io/kubelet/pkg/apis/pluginregistration/v1, with the options of the official sidecar of the same name.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/connection"
	"github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type server struct {
	registration.UnsafeRegistrationServer
	info   *registration.PluginInfo
	failed chan error
}

func (s *server) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return s.info, nil
}

func (s *server) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	log.Printf("kubelet: registered=%t %s", status.PluginRegistered, status.Error)
	if !status.PluginRegistered {
		s.failed <- errors.New(status.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func driverName(address string, timeout time.Duration) (string, error) {
	manager := metrics.NewCSIMetricsManagerForSidecar("")
	conn, err := connection.Connect(context.Background(), address, manager)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return rpc.GetDriverName(ctx, conn)
}

func serve(socket string, service *server) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer os.Remove(socket)
	programme := grpc.NewServer()
	registration.RegisterRegistrationServer(programme, service)
	ended := make(chan error, 1)
	go func() { ended <- programme.Serve(listener) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err = <-ended:
	case err = <-service.failed:
	case <-stop:
	}
	return err
}

func main() {
	address := flag.String("csi-address", "/run/csi/socket", "socket of the CSI driver")
	registered := flag.String("kubelet-registration-path", "", "the same socket, as kubelet sees it")
	directory := flag.String("plugin-registration-path", "/registration", "where kubelet looks for new plugins")
	timeout := flag.Duration("timeout", time.Second, "of a call to the driver")
	flag.Int("v", 0, "accepted, unused")
	flag.Parse()

	name, err := driverName(*address, *timeout)
	if err != nil {
		log.Fatalf("driver at %s: %v", *address, err)
	}
	service := &server{
		info: &registration.PluginInfo{
			Type:              registration.CSIPlugin,
			Name:              name,
			Endpoint:          *registered,
			SupportedVersions: []string{"1.0.0"},
		},
		failed: make(chan error, 1),
	}
	if err := serve(filepath.Join(*directory, name+"-reg.sock"), service); err != nil {
		log.Fatal(err)
	}
}
