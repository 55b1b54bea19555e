"""How the platform is shipped: images, manifests, dashboards; and the demo."""
